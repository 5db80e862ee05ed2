"""How the stages run on one document, in the pool of processes."""
