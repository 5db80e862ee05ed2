"""The index as a projection: it follows the log, writes, switches and sweeps."""
