"""From sources to events: adapters, planner, the log, the slot that answers requests, and its stages."""
