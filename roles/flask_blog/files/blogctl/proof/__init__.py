"""Prove that a backup can be restored: boot the live release on it, out of reach of visitors."""
