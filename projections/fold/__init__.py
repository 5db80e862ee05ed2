"""The loop that folds the log into a view."""
