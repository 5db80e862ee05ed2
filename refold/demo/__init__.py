"""The demo: real documents, ingested, searched and verified."""
