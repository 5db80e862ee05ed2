"""What stages have made of which content, so that it is not made twice."""
