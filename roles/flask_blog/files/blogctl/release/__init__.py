"""Releases: activate one, roll back, recover from an interrupted operation, remove old ones."""
