"""The embedders."""
