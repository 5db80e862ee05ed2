"""An index of chunks: the port of its backends, and what is said of it everywhere."""
