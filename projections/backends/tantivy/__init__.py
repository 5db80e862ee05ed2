"""The keyword index in tantivy."""
