"""The plumbing SQL views share: engines, dialects, positions, generations of tables, and values in columns."""
