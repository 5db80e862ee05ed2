"""The technologies of the log port (`streams/log.py`)."""
