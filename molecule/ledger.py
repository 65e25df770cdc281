"""The ledger of tests/blogs: a copy to change, what is in its book, and what visitors were promised is in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load import LIGHT, SLOW, Load

SOURCE = Path(__file__).parents[1] / "tests" / "blogs" / "ledger"
NAME = "book.example.com"


def copy_of_the_blog(folder: Path) -> Path:
    """Make a copy of the blog to change."""
    return Path(shutil.copytree(SOURCE, folder / "ledger"))


@dataclass(frozen=True)
class Book:
    """What the database holds: the definitions in its schema by name, and the texts of its entries by their ids."""

    schema: dict[str, str]
    entries: dict[int, str]

    @classmethod
    def read(cls, operator: Any) -> Book:
        """Read all of it on the machine, as the app's account."""
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
        """Say whether each entry that visitors were told is written stands there, word for word."""
        return load.written.items() <= self.entries.items()


def served(visit: Callable[..., Any]) -> str:
    """Return the release that visitors get."""
    return str(visit(NAME).ask("/healthz").json()["release"])


def visitors(operator: Any) -> Load:
    """Return visitors of the blog, few enough to leave a small machine room for a release beside them."""
    return Load(operator.address(), NAME, LIGHT, SLOW[1:], pause=0.02)
