"""The process that works in the data folder, with the rights of the app's account (main.py)."""
