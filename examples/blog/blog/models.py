"""The tables, and how a connection to SQLite is set up."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    ForeignKey,
    Index,
    MetaData,
    Select,
    String,
    Table,
    Text,
    TypeDecorator,
    event,
    false,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    # SQLite can only change a constraint that has a name.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base)


@event.listens_for(Engine, "connect")
def _set_up_sqlite(connection: Any, _record: Any) -> None:
    """Readers and one writer side by side (WAL), waiting for each other rather than failing."""
    if not type(connection).__module__.startswith("sqlite3"):
        return
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 5000")  # first: changing the journal mode needs a lock as well
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def utc_now() -> datetime:
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime; SQLite has no time zones, so it is kept there in UTC without one."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


class User(UserMixin, db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(60))
    # What the session cookie holds instead of the id: a new password makes a new one, which ends every session.
    session_key: Mapped[str] = mapped_column(String(43), unique=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)

    def get_id(self) -> str:
        return self.session_key

    def set_password(self, password: str) -> None:
        from . import passwords

        self.password_hash = passwords.hash_password(password)
        self.session_key = secrets.token_urlsafe(32)


post_tags = Table(
    "post_tags",
    Base.metadata,
    Column("post_id", ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True, index=True),
)


class Tag(db.Model):
    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(80), unique=True)
    name: Mapped[str] = mapped_column(String(80))


class Post(db.Model):
    __tablename__ = "posts"
    __table_args__ = (Index("ix_posts_draft_published_at", "draft", "published_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(120), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    summary: Mapped[str] = mapped_column(String(400))
    body: Mapped[str] = mapped_column(Text)
    # Rendered and sanitised when the post is saved, so that readers cost neither.
    body_html: Mapped[str] = mapped_column(Text)
    minutes: Mapped[int] = mapped_column(default=1)
    picture: Mapped[str | None] = mapped_column(String(80))
    picture_alt: Mapped[str] = mapped_column(String(200), default="")
    picture_width: Mapped[int | None]
    picture_height: Mapped[int | None]
    draft: Mapped[bool] = mapped_column(default=True)
    # The first time it was published; kept when a post goes back to being a draft.
    published_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=utc_now, onupdate=utc_now)
    tags: Mapped[list[Tag]] = relationship(secondary=post_tags, lazy="selectin", order_by=Tag.name)

    def publish(self, when: datetime | None = None) -> None:
        self.draft = False
        self.published_at = self.published_at or when or utc_now()


def published() -> Select[tuple[Post]]:
    """What readers may see, newest first."""
    return select(Post).where(Post.draft == false()).order_by(Post.published_at.desc(), Post.id.desc())
