"""The editor, for those who can log in."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, flash, redirect, render_template, request, session, url_for
from flask_login import current_user, login_user, logout_user
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import defer
from werkzeug.wrappers import Response as BaseResponse

from . import passwords
from .models import Post, User, db

bp = Blueprint("admin", __name__, url_prefix="/admin")


@bp.before_request
def require_login() -> BaseResponse | None:
    """Guard every page of the editor, those yet to be written included."""
    if request.endpoint == "admin.login" or current_user.is_authenticated:
        return None
    return current_app.login_manager.unauthorized()  # type: ignore[attr-defined]


@bp.after_request
def keep_private(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def is_local(target: str) -> bool:
    """Whether a browser that follows ``target`` is certain to stay on this site."""
    # Browsers read a backslash as a slash and drop tabs and newlines, so "/\\evil" and "/\t/evil" lead away.
    if not target.startswith("/") or target.startswith("//") or "\\" in target:
        return False
    if any(ord(char) < 33 or ord(char) == 127 for char in target):
        return False
    parts = urlsplit(target)
    return not parts.scheme and not parts.netloc


@bp.route("/login", methods=["GET", "POST"])
def login() -> str | BaseResponse | tuple[str, int]:
    from .forms import LoginForm

    target = request.args.get("next", "")
    if not is_local(target):
        target = url_for("admin.index")
    if current_user.is_authenticated:
        return redirect(target)
    form = LoginForm()
    if form.validate_on_submit():
        username = form.username.data or ""
        user = db.session.scalar(select(User).where(User.username == username))
        if passwords.matches(form.password.data or "", user.password_hash if user else None):
            assert user is not None
            session.clear()
            session.permanent = True
            login_user(user)
            current_app.logger.info("login of %r from %s", username, request.remote_addr)
            return redirect(target)
        current_app.logger.warning("failed login of %r from %s", username, request.remote_addr)
        form.form_errors.append("User name or password is wrong.")
        return render_template("admin/login.html", form=form), 401
    return render_template("admin/login.html", form=form)


@bp.post("/logout")
def logout() -> BaseResponse:
    logout_user()
    session.clear()
    return redirect(url_for("public.home"))


@bp.get("/")
def index() -> str:
    from .forms import ConfirmForm

    query = select(Post).options(defer(Post.body), defer(Post.body_html))
    posts = db.session.scalars(query.order_by(Post.draft.desc(), Post.updated_at.desc())).all()
    return render_template("admin/index.html", posts=posts, form=ConfirmForm())


@bp.route("/posts/new", methods=["GET", "POST"])
def new_post() -> str | BaseResponse | tuple[str, int]:
    return _edit(Post(title="", slug="", summary="", body="", body_html="", picture_alt="", draft=True))


@bp.route("/posts/<int:post_id>", methods=["GET", "POST"])
def edit_post(post_id: int) -> str | BaseResponse | tuple[str, int]:
    return _edit(db.get_or_404(Post, post_id))


def _edit(post: Post) -> str | BaseResponse | tuple[str, int]:
    from . import markup
    from .forms import ACCEPT, PostForm

    # A summary that was made from the text stays out of the form, so that it goes on following the text.
    own_summary = post.summary if post.summary != markup.summarise(post.body_html) else ""
    form = PostForm(
        post_id=post.id,
        data={
            "title": post.title,
            "slug": post.slug,
            "summary": own_summary,
            "body": post.body,
            "tags": ", ".join(tag.name for tag in post.tags),
            "picture_alt": post.picture_alt,
            "published": not post.draft,
        },
    )
    if form.validate_on_submit() and _save(post, form):
        flash("Published." if not post.draft else "Saved as a draft; only you can see it.")
        return redirect(url_for("public.post", slug=post.slug))
    page = render_template("admin/edit.html", form=form, post=post, accept=ACCEPT)
    return (page, 422) if form.errors else page


def _save(post: Post, form) -> bool:
    """Write what the form holds; on failure leave the reason in the form and the database as it was."""
    from . import pictures
    from . import posts as writing

    with db.session.no_autoflush:
        if form.picture.data:
            try:
                picture = pictures.store(form.picture.data.read())
            except pictures.PictureError as exc:
                form.picture.errors = [*form.picture.errors, str(exc)]
                return False
            post.picture, post.picture_width, post.picture_height = picture.name, picture.width, picture.height
        elif form.remove_picture.data:
            post.picture = post.picture_width = post.picture_height = None
        post.picture_alt = form.picture_alt.data or ""
        post.title = form.title.data.strip()
        post.slug = form.slug.data or writing.free_slug(post.title, post.id)
        writing.write_body(post, form.body.data, form.summary.data or "")
        post.tags = writing.tags_from(form.tags.data or "")
        if form.published.data:
            post.publish()
        else:
            post.draft = True
        db.session.add(post)
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        form.slug.errors = [*form.slug.errors, "Somebody saved the same address or tag a moment ago; try again."]
        return False
    return True


@bp.route("/posts/<int:post_id>/delete", methods=["GET", "POST"])
def delete_post(post_id: int) -> str | BaseResponse:
    from .forms import ConfirmForm

    post = db.get_or_404(Post, post_id)
    form = ConfirmForm()
    if form.validate_on_submit():
        db.session.delete(post)
        db.session.commit()
        current_app.logger.info("%r deleted the post %r", current_user.username, post.slug)
        flash(f"“{post.title}” is deleted.")
        return redirect(url_for("admin.index"))
    return render_template("admin/delete.html", post=post, form=form)


@bp.route("/pictures", methods=["GET", "POST"])
def all_pictures() -> str | BaseResponse | tuple[str, int]:
    """Pictures for use inside the text."""
    from . import pictures
    from .forms import ACCEPT, PictureForm

    form = PictureForm()
    if form.validate_on_submit():
        try:
            pictures.store(form.picture.data.read())
        except pictures.PictureError as exc:
            form.picture.errors = [*form.picture.errors, str(exc)]
        else:
            flash("Stored. Copy its line into a post.")
            return redirect(url_for("admin.all_pictures"))
    page = render_template("admin/pictures.html", form=form, names=pictures.stored()[:60], accept=ACCEPT)
    return (page, 422) if form.errors else page
