"""One slot of the log: which request is next, what becomes of it, and the answers."""
