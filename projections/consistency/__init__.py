"""Whether an index agrees with the log, and how it is written anew."""
