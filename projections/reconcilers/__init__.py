"""Reconcilers: what should be (replay) minus what is (scan); the difference is pure."""
