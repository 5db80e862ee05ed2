"""What is known of a document, and what a request for one must be."""
