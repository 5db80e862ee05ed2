"""What stands between this machine and a running refold."""
