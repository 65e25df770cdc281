"""Backups: create, verify, retention."""
