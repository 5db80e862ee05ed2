"""How commands reach the owner of a data folder: JSON lines over a Unix socket in it."""
