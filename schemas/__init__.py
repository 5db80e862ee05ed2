"""The words on every arrow: events, positions, ids, Avro schemas, codec, registry and upcasts.

This package is the bottom of the house: it imports nothing of the others.
"""
