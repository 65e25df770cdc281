"""An ordinary blog: it stores posts and pictures, hashes passwords, sends mail and uses a database server."""

from __future__ import annotations

import os
import smtplib
import sqlite3
import subprocess
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import bcrypt
import numpy as np
import psycopg
from flask import Flask, request
from PIL import Image, ImageFilter

HERE = Path(__file__).parent

app = Flask(__name__)


@app.get("/")
@app.get("/healthz")
def home() -> dict[str, Any]:
    """Count the posts."""
    with closing(sqlite3.connect(HERE / "database.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS posts (title TEXT)")
        return {"posts": database.execute("SELECT count(*) FROM posts").fetchone()[0]}


@app.post("/posts")
def post() -> dict[str, Any]:
    """Write a post into SQLite, with a write-ahead log."""
    with closing(sqlite3.connect(HERE / "database.db")) as database, database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("INSERT INTO posts VALUES (?)", (request.form["title"],))
    return home()


@app.post("/upload")
def upload() -> dict[str, Any]:
    """Receive a large picture and make a thumbnail."""
    # Werkzeug keeps a body of more than 500 kB in a temporary file.
    given = request.files["picture"]
    size = given.seek(0, os.SEEK_END)
    given.seek(0)
    with Image.open(given.stream) as picture:
        small = picture.convert("RGB").filter(ImageFilter.SHARPEN)
        small.thumbnail((64, 64))
        small.save(HERE / "static" / "uploads" / "small.jpg")
    on_disk = os.fstat(given.stream.fileno()).st_dev == os.stat("/var/tmp").st_dev
    return {"bytes": size, "size": small.size, "on_disk": on_disk}


@app.get("/password")
def password() -> dict[str, Any]:
    """Hash a password and compare it."""
    return {"right": bcrypt.checkpw(b"hunter2", bcrypt.hashpw(b"hunter2", bcrypt.gensalt(rounds=6)))}


@app.get("/numbers")
def numbers() -> dict[str, Any]:
    """Solve equations, on all cores; NumPy's library starts a thread for each."""
    matrix = np.eye(600) * 3 + np.ones((600, 600)) / 600
    solved = matrix @ np.linalg.solve(matrix, np.ones(600))
    return {"right": bool(np.allclose(solved, 1)), "cores": os.cpu_count()}


@app.get("/workers")
def workers() -> dict[str, Any]:
    """Use child processes for a calculation, and run a program of the system."""
    with ProcessPoolExecutor(2) as pool:
        counted = list(pool.map(abs, range(-3, 0)))
    told = subprocess.run(["uname"], capture_output=True, text=True, check=True).stdout.strip()
    return {"counted": counted, "told": told}


@app.get("/mail")
def mail() -> dict[str, Any]:
    """Send a mail to the server that the settings name."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "blog@example.com", "ada@example.com", request.args["subject"]
    message.set_content("A comment waits for you.")
    with smtplib.SMTP(os.environ["MAIL_SERVER"], int(os.environ["MAIL_PORT"]), timeout=10) as server:
        server.send_message(message)
    return {"sent": True}


@app.get("/server/<way>")
def server(way: str) -> dict[str, Any]:
    """Write into PostgreSQL, over TCP with a password or over the Unix socket as the account that this is."""
    with psycopg.connect(os.environ[f"DATABASE_{way.upper()}"], connect_timeout=10) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS visits (at timestamptz)")
        connection.execute("INSERT INTO visits VALUES (now())")
        count = connection.execute("SELECT count(*) FROM visits").fetchone()
        user = connection.execute("SELECT current_user").fetchone()
    return {"visits": count[0] if count else 0, "user": user[0] if user else ""}
