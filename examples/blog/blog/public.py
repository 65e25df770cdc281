"""What readers, search engines and feed readers see."""

from __future__ import annotations

import os
import re

from flask import Blueprint, Response, abort, current_app, render_template, request, url_for
from flask_login import current_user
from flask_sqlalchemy.pagination import Pagination
from sqlalchemy import func, select, text
from sqlalchemy.orm import defer

from .models import Post, Tag, db, post_tags, published

bp = Blueprint("public", __name__)

FEED_LENGTH = 20


@bp.after_request
def revalidate(response: Response) -> Response:
    """Let browsers and feed readers keep a page, and ask whether it is still the same."""
    if request.method in {"GET", "HEAD"} and response.status_code == 200 and not response.is_streamed:
        response.headers.setdefault("Cache-Control", "no-cache")
        response.add_etag()
        response.make_conditional(request)
    return response


def _page_of(query) -> Pagination:
    light = query.options(defer(Post.body), defer(Post.body_html))
    return db.paginate(light, per_page=current_app.config["POSTS_PER_PAGE"], max_per_page=None)


def _canonical(endpoint: str, page: int = 1, **values: str) -> str:
    return url_for(endpoint, page=page if page > 1 else None, _external=True, **values)


@bp.get("/")
def home() -> str:
    pagination = _page_of(published())
    return render_template("home.html", pagination=pagination, canonical=_canonical("public.home", pagination.page))


@bp.get("/posts/<slug>")
def post(slug: str) -> str:
    found = db.first_or_404(select(Post).where(Post.slug == slug))
    if found.draft and not current_user.is_authenticated:
        abort(404)
    newer = older = None
    if not found.draft:
        names = published().with_only_columns(Post.slug, Post.title).limit(1)
        newer = db.session.execute(
            names.where(Post.published_at > found.published_at).order_by(None).order_by(Post.published_at)
        ).first()
        older = db.session.execute(names.where(Post.published_at < found.published_at)).first()
    return render_template(
        "post.html", post=found, newer=newer, older=older, canonical=_canonical("public.post", slug=slug)
    )


@bp.get("/tags/")
def tags() -> str:
    count = func.count(Post.id).label("count")
    rows = db.session.execute(
        select(Tag, count)
        .join(post_tags, post_tags.c.tag_id == Tag.id)
        .join(Post, Post.id == post_tags.c.post_id)
        .where(Post.draft.is_(False))
        .group_by(Tag.id)
        .order_by(func.lower(Tag.name))
    ).all()
    return render_template("tags.html", rows=rows, canonical=_canonical("public.tags"))


@bp.get("/tags/<slug>")
def tag(slug: str) -> str:
    found = db.first_or_404(select(Tag).where(Tag.slug == slug))
    pagination = _page_of(published().where(Post.tags.any(Tag.id == found.id)))
    if not pagination.total:
        abort(404)
    return render_template(
        "tag.html", tag=found, pagination=pagination, canonical=_canonical("public.tag", pagination.page, slug=slug)
    )


@bp.get("/feed.xml")
def feed() -> Response:
    from feedgenerator import Atom1Feed

    home_url = url_for("public.home", _external=True)
    atom = Atom1Feed(
        title=current_app.config["SITE_NAME"],
        link=home_url,
        description=current_app.config["SITE_DESCRIPTION"],
        subtitle=current_app.config["SITE_DESCRIPTION"],
        language=current_app.config["SITE_LANGUAGE"],
        author_name=current_app.config["SITE_AUTHOR"],
        feed_url=url_for("public.feed", _external=True),
        feed_guid=home_url,
    )
    for entry in db.session.scalars(published().limit(FEED_LENGTH)):
        assert entry.published_at is not None
        link = url_for("public.post", slug=entry.slug, _external=True)
        atom.add_item(
            title=entry.title,
            link=link,
            description=entry.summary,
            content=_with_absolute_urls(_picture_html(entry) + entry.body_html),
            pubdate=entry.published_at,
            updateddate=entry.updated_at,
            unique_id=link,
            author_name=current_app.config["SITE_AUTHOR"],
            categories=[tag.name for tag in entry.tags],
        )
    # The media type is enough; feedgenerator's own would add a charset that the XML declares already.
    return Response(atom.writeString("utf-8"), mimetype="application/atom+xml")


def _picture_html(entry: Post) -> str:
    if not entry.picture:
        return ""
    return render_template("_picture.html", post=entry).strip()


def _with_absolute_urls(body_html: str) -> str:
    """Feed readers show a post away from the site. Sanitised HTML always has its attributes in double quotes."""
    root = url_for("public.home", _external=True)
    return re.sub(r'\b(src|href)="/(?!/)', rf'\1="{root}', body_html)


@bp.get("/sitemap.xml")
def sitemap() -> Response:
    entries = db.session.execute(published().with_only_columns(Post.slug, Post.updated_at)).all()
    tag_slugs = db.session.scalars(
        select(Tag.slug)
        .where(Tag.id.in_(select(post_tags.c.tag_id).join(Post, Post.id == post_tags.c.post_id).where(~Post.draft)))
        .order_by(Tag.slug)
    ).all()
    body = render_template("sitemap.xml", entries=entries, tag_slugs=tag_slugs)
    return Response(body, mimetype="application/xml")


@bp.get("/robots.txt")
def robots() -> Response:
    lines = ["User-agent: *", "Disallow: /admin/", "", f"Sitemap: {url_for('public.sitemap', _external=True)}", ""]
    return Response("\n".join(lines), mimetype="text/plain")


@bp.get("/healthz")
def healthz() -> tuple[dict[str, str], int, dict[str, str]]:
    """Can a reader be served? 200 if the posts can be read and are whole, else 503; the log has the reason."""
    answer = {"status": "ok", "release": current_app.config["FLASK_BLOG_RELEASE"]}
    status = 200
    try:
        _check_database()
    except Exception as exc:
        db.session.rollback()
        current_app.logger.error("health check failed: %s", str(exc).splitlines()[0])
        answer["status"], status = "error", 503
    return answer, status, {"Cache-Control": "no-store"}


def _check_database() -> None:
    # All columns, so that a schema older than the code is found as well.
    db.session.scalars(published().limit(1)).first()
    if db.engine.dialect.name == "sqlite":
        path = db.engine.url.database
        # An open connection happily reads on from a file that has been deleted.
        if path and not os.path.exists(path):
            raise FileNotFoundError(f"{path} is gone")
        # The posts alone, so that the cost stays in the milliseconds.
        if (verdict := db.session.scalar(text("PRAGMA quick_check('posts')"))) != "ok":
            raise RuntimeError(f"the posts table is damaged: {verdict}")
