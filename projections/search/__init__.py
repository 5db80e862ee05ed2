"""Search over both indexes."""
