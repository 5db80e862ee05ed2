"""Both indexes in memory: the reference for the contract suites."""
