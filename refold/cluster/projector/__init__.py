"""The projector: a process that keeps one projection up to date."""
