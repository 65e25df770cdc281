"""Find what is wrong with a site and its host, why it matters, and the command that fixes it."""
