"""Where documents come from: the technologies of the source port (`streams/source.py`)."""
