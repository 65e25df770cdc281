"""A small blog whose requirements attack the host while they are installed (attacker/setup.py)."""

from __future__ import annotations

from flask import Flask

app = Flask(__name__)


@app.route("/")
def home() -> str:
    """Answer like any other blog."""
    return "A harmless blog"
