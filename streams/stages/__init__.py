"""The stages of a document: fetch, parse, chunk and embed, and the processes they run in."""
