"""Whether an index agrees with the log, and how it is rebuilt."""
