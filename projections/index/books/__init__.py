"""The bookkeeping of an index: which versions it serves, from when on, and what is garbage."""
