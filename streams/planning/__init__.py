"""From sources to requests."""
