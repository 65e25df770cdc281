"""What Gunicorn (``app:app``) and the ``flask`` command import."""

import os

from flask.helpers import get_debug_flag

import config
from blog import create_app

app = create_app(config.load(os.environ, debug=get_debug_flag()))
