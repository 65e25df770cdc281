"""A handbook as it was written for years: setup.py, "-e ." in requirements.txt, one application for the module."""

import os

from flask import Flask

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "dev")

from . import views  # noqa: E402, F401
