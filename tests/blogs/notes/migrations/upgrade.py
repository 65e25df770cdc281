"""Bring the database up to date: python -m migrations.upgrade"""

from main import connect

with connect() as connection:
    connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT NOT NULL, author TEXT NOT NULL)")
    connection.execute("INSERT INTO notes (title, author) VALUES ('The first note', 'migrations')")
print("database.db is up to date")
