"""A small blog that needs a setting, a database, a static folder and uploads: what the doctor sees broken."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from flask import Flask

GREETING = os.environ["GREETING"]
DATABASE = Path(__file__).parent / "database.db"

app = Flask(__name__)


@app.get("/")
def posts() -> dict[str, object]:
    """Greet, and count the posts."""
    with closing(sqlite3.connect(DATABASE)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM post").fetchone()
    return {"greeting": GREETING, "posts": count}


@app.get("/fails")
def fails() -> str:
    """Fail as a bug does."""
    raise LookupError("there is no post 17")
