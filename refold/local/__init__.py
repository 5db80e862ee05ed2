"""Real servers on this machine, from packages and without Docker: for development, and for tests."""
