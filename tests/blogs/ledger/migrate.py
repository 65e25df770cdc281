"""Apply the statements of migrations.sql that the database has not seen, each in a separate transaction.

As with many a migration tool on SQLite, one that fails half-way leaves its first statements behind.
"""

import sqlite3
import sys
from pathlib import Path

folder = Path(__file__).parent
file = folder / "migrations.sql"
connection = sqlite3.connect(folder / "database.db", timeout=5, isolation_level=None)
(seen,) = connection.execute("PRAGMA user_version").fetchone()
statements = file.read_text().splitlines() if file.exists() else []
for number, statement in enumerate(statements[seen:], seen + 1):
    print(f"{number}: {statement}")
    sys.stdout.flush()
    connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {number}")
