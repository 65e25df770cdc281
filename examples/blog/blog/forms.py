"""The forms of the editor; Flask-WTF adds the CSRF token to each."""

from __future__ import annotations

from flask_wtf import FlaskForm
from flask_wtf.file import FileField, FileRequired
from wtforms import BooleanField, PasswordField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, Optional, Regexp, ValidationError

from . import posts

ACCEPT = "image/png,image/jpeg,image/webp,image/gif"


class LoginForm(FlaskForm):
    username = StringField("User name", [InputRequired(), Length(max=64)])
    password = PasswordField("Password", [InputRequired()])


class PostForm(FlaskForm):
    title = StringField("Title", [InputRequired("A post needs a title."), Length(max=200)])
    body = TextAreaField("Text", [InputRequired("There is no text yet.")], description="Markdown.")
    summary = TextAreaField(
        "Summary", [Length(max=400)], description="For lists, feeds and search engines. Empty: the first paragraph."
    )
    tags = StringField("Tags", [Length(max=400)], description="Divided by commas.")
    slug = StringField(
        "Address",
        [
            Optional(),
            Length(max=100),
            Regexp(r"^[a-z0-9]+(-[a-z0-9]+)*$", message="Use small letters, digits and single hyphens."),
        ],
        description="The end of the URL. Empty: made from the title.",
    )
    picture = FileField("Picture", description="PNG, JPEG, WebP or GIF; shown above the text.")
    picture_alt = StringField(
        "Picture in words", [Length(max=200)], description="For those who cannot see it, and for search engines."
    )
    remove_picture = BooleanField("Remove the picture")
    published = BooleanField("Published")

    def __init__(self, *args, post_id: int | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._post_id = post_id

    def validate_slug(self, field: StringField) -> None:
        if field.data and posts.slug_is_taken(field.data, self._post_id):
            raise ValidationError("Another post has this address.")


class PictureForm(FlaskForm):
    picture = FileField("Picture", [FileRequired("Choose a file first.")], description="PNG, JPEG, WebP or GIF.")


class ConfirmForm(FlaskForm):
    """Nothing but the token: for buttons that change something."""
