"""Flask's extensions, made once and bound to the app in ``create_app``."""

from __future__ import annotations

from flask_login import LoginManager
from flask_wtf.csrf import CSRFProtect
from sqlalchemy import select

from .models import User, db

csrf = CSRFProtect()
login_manager = LoginManager()
login_manager.login_view = "admin.login"
login_manager.login_message = "Please log in first."


@login_manager.user_loader
def load_user(session_key: str) -> User | None:
    return db.session.scalar(select(User).where(User.session_key == session_key))
