"""The engine of a command beside a cluster."""
