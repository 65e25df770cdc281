"""Saving a post: everything that is derived from what the author wrote."""

from __future__ import annotations

from sqlalchemy import select

from . import markup
from .models import Post, Tag, db


def slug_for(text: str, limit: int = 100) -> str:
    from slugify import slugify

    return slugify(text, max_length=limit, word_boundary=True)


def free_slug(title: str, post_id: int | None = None) -> str:
    """A slug made from the title, numbered where another post has it."""
    base = slug_for(title) or "post"
    slug, number = base, 1
    while slug_is_taken(slug, post_id):
        number += 1
        slug = f"{base}-{number}"
    return slug


def slug_is_taken(slug: str, post_id: int | None = None) -> bool:
    query = select(Post.id).where(Post.slug == slug)
    return db.session.scalar(query.where(Post.id != post_id) if post_id else query) is not None


def write_body(post: Post, body: str, summary: str = "") -> None:
    """Set the text and what follows from it."""
    post.body = body
    post.body_html = markup.render(body)
    post.summary = summary.strip() or markup.summarise(post.body_html)
    post.minutes = markup.reading_minutes(post.body_html)


def tags_from(text: str) -> list[Tag]:
    """Tags from names divided by commas; new ones are made, known ones keep their first spelling."""
    found: dict[str, Tag] = {}
    for name in text.split(","):
        slug = slug_for(name, 80)
        if slug and slug not in found:
            known = db.session.scalar(select(Tag).where(Tag.slug == slug))
            found[slug] = known or Tag(slug=slug, name=" ".join(name.split())[:80])
    return list(found.values())
