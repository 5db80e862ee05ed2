"""What became of each document: its state, history and failures."""
