"""Commands for the person who runs the blog; ``flask db`` comes from Flask-Migrate."""

from __future__ import annotations

import os

import click
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from .models import Post, User, db


def init_app(app: Flask) -> None:
    app.cli.add_command(create_admin)
    app.cli.add_command(seed)
    app.cli.add_command(render)


def _first(query):
    try:
        return db.session.scalar(query.limit(1))
    except OperationalError as exc:
        raise click.ClickException(f"The database is not ready: {exc.orig}. Run “flask db upgrade” first.") from exc


def _with_context(command):
    from flask.cli import with_appcontext

    return with_appcontext(command)


@click.command("create-admin")
@click.argument("username")
@click.option("--reset", is_flag=True, help="Give an existing user the new password, and end its sessions.")
@_with_context
def create_admin(username: str, reset: bool) -> None:
    """Create USERNAME, who may log in to the editor.

    The password comes from the environment (ADMIN_PASSWORD) or is asked for.
    """
    from . import passwords

    if not 1 <= len(username) <= 64:
        raise click.ClickException("A user name has 1 to 64 characters.")
    user = _first(select(User).where(User.username == username))
    if user and not reset:
        click.echo(f"The user {username} exists and is left as it is; --reset sets a new password.")
        return
    password = os.environ.get("ADMIN_PASSWORD")
    if password is None:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if problem := passwords.problem_with(password):
        raise click.ClickException(problem)
    created = user is None
    user = user or User(username=username)
    user.set_password(password)
    db.session.add(user)
    db.session.commit()
    click.echo(f"The user {username} is created." if created else f"The user {username} has a new password.")


@click.command()
@_with_context
def seed() -> None:
    """Fill an empty blog with a few posts to look at."""
    from . import demo

    if _first(select(Post.id)) is not None:
        click.echo("There are posts already; nothing is added.")
        return
    click.echo(f"{demo.add_posts()} posts added.")


@click.command()
@_with_context
def render() -> None:
    """Render every post anew, after a change to the Markdown rules."""
    from . import markup

    _first(select(Post.id))
    changed = 0
    for post in db.session.scalars(select(Post)):
        body_html = markup.render(post.body)
        if body_html != post.body_html:
            # Nobody edited the post, so its date stays.
            post.body_html, post.updated_at = body_html, post.updated_at
            changed += 1
    db.session.commit()
    click.echo(f"{changed} posts rendered anew.")
