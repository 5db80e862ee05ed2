"""The parsers, each a function from content to `Parsed`; `streams/stages/parse.py` holds their table."""
