"""The host's own tool: operate the blogs of this host. Python's standard library only."""
