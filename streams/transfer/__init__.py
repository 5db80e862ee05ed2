"""Export, import and copies of a log and its artifacts."""
