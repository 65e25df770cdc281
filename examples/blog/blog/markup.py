"""Markdown to HTML that is safe to show. Imported where posts are saved, never where they are read."""

from __future__ import annotations

import html
import re

import mistune
import nh3

_markdown = mistune.create_markdown(escape=False, plugins=["strikethrough", "table", "footnotes", "url"])

_ATTRIBUTES = {
    "a": {"href", "title", "id"},
    "img": {"src", "alt", "title", "width", "height"},
    "code": {"class"},
    "ol": {"start"},
    "li": {"id"},
    "sup": {"id"},
    "section": {"class"},
    "th": {"align"},
    "td": {"align"},
}
_TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "a", "img", "em", "strong", "del", "sup", "sub", "abbr"),
    *("blockquote", "ul", "ol", "li", "pre", "code", "kbd", "figure", "figcaption", "section"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_WORDS_PER_MINUTE = 220


def render(text: str) -> str:
    """Render Markdown, with raw HTML allowed in it, and keep only harmless tags, attributes and addresses."""
    return nh3.clean(
        str(_markdown(text)),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener",
        set_tag_attribute_values={"img": {"loading": "lazy"}},
    )


def plain(body_html: str) -> str:
    """The text alone, in one line."""
    return " ".join(html.unescape(nh3.clean(body_html, tags=set())).split())


def summarise(body_html: str, limit: int = 200) -> str:
    """The first paragraph, cut at a word."""
    first = re.search(r"<p>(.+?)</p>", body_html, re.DOTALL)
    text = plain(first[1] if first else body_html)
    if len(text) <= limit:
        return text
    return text[:limit].rsplit(" ", 1)[0].rstrip(",.;:") + "…"


def reading_minutes(body_html: str) -> int:
    return max(1, round(len(plain(body_html).split()) / _WORDS_PER_MINUTE))
