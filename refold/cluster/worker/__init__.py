"""The worker: a process that owns slots and answers requests."""
