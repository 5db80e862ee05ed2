"""The technologies of the adapter ports (`streams/adapter.py`)."""
