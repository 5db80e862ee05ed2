"""What both engines are made of."""
