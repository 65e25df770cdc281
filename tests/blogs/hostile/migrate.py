"""The release command of a compromised app; it runs the code in the data folder."""

import app

app.run_file("command.py")
