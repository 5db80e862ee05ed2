"""The keyword index in OpenSearch."""
