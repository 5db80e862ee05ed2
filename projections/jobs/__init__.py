"""The jobs, how far they are, and their documents."""
