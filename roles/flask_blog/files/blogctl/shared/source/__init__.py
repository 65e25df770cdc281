"""A release and its files on disk: links to plugins/module_utils/source."""
