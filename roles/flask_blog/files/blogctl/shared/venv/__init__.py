"""Virtual environments: links to plugins/module_utils/venv."""
