"""The release command of an app that somebody has taken over: what it does stands in the data folder."""

import app

app.run_file("command.py")
