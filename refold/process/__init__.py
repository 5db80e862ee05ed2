"""What a process of refold's own sets up for itself."""
