"""Modules that blogctl shares with the collection: links to plugins/module_utils."""
