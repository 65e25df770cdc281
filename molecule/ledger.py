"""The ledger of tests/blogs: a copy to change, the content of its database, and clients that write to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load import FAST, LIGHT, SLOW, Load

SOURCE = Path(__file__).parents[1] / "tests" / "blogs" / "ledger"
NAME = "book.example.com"


def copy_of_the_blog(folder: Path) -> Path:
    """Make a copy of the blog to change."""
    return Path(shutil.copytree(SOURCE, folder / "ledger"))


@dataclass(frozen=True)
class Book:
    """The content of the database: the definitions in its schema by name, and the texts of its entries by their ids."""

    schema: dict[str, str]
    entries: dict[int, str]

    @classmethod
    def read(cls, operator: Any) -> Book:
        """Read it on the machine, as the app's account."""
        found = operator.python(
            "import sqlite3\n"
            "c = sqlite3.connect('/var/lib/flask-blog/database.db', timeout=30)\n"
            "schema = c.execute('SELECT name, sql FROM sqlite_schema').fetchall()\n"
            "print(json.dumps([schema, c.execute('SELECT id, text FROM entries').fetchall()]))",
            user="flask-blog",
        )
        schema, entries = found
        return cls(dict(schema), dict(entries))

    def holds_all_that_was_acknowledged(self, load: Load) -> bool:
        """Return whether each acknowledged entry is there, with the text that was sent."""
        return load.written.items() <= self.entries.items()


def served(visit: Callable[..., Any]) -> str:
    """Return the release that answers."""
    return str(visit(NAME).ask("/healthz").json()["release"])


def visitors(operator: Any) -> Load:
    """Return clients of the blog, few enough that a small machine can release at the same time."""
    return Load(operator.address(), NAME, LIGHT, SLOW[1:], pause=0.02)


def browsers(operator: Any) -> Load:
    """Return clients for a host whose nginx is reloaded: they keep connections for GET alone, and repeat one.

    They make fewer requests than one client may (flask_blog_rate_limit), which the previous version does not know.
    """
    return Load(operator.address(), NAME, (FAST[0], FAST[1], FAST[5]), SLOW[1:], pause=0.1, repeats=True)
