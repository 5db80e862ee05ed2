"""`python -m refold` is the command line."""

from refold.cli import main

main()
