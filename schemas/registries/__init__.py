"""Technologies of the schema registry; the port is `schemas/registry.py`."""
