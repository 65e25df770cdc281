"""Restore a backup: choose it, verify it, exchange the data for it."""
