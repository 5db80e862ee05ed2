"""The Python API: pipelines, sessions, streams and subscriptions."""
