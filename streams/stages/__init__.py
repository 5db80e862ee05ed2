"""The stages of a document: fetch, parse, chunk, embed."""
