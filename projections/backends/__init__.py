"""Index backends: the technologies behind the ports in `projections/index/backend.py`."""
