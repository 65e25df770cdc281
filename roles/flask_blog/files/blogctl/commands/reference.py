"""The parts of the help and of the man page that belong to no single command."""

from __future__ import annotations

#: In the man page's header.
SUMMARY = "operate the Flask blogs of this host"

DESCRIPTION = (
    "Operate the Flask blogs of this host: show what is served, activate a release, roll back, show a maintenance page,"
    " back up, restore. It works without the Ansible controller. Everything but --help needs root.",
    "One operation at a time changes a site. Another one waits a minute for it, and then ends with status 3. An"
    " operation that fails or is interrupted is undone: the previous release still serves, or the message says"
    " otherwise.",
)

USAGE = ("blogctl [--site NAME] [--json] COMMAND [OPTION...]", "blogctl help [COMMAND]")

#: Exit statuses of all commands; a command adds its own.
STATUSES = {
    0: "done",
    1: "refused or failed; the previous release still serves, or the message says otherwise",
    2: "the command line is wrong; nothing was done",
    3: "another operation, or a command of blogctl run, is in the way; nothing was done, try again later",
    130: "interrupted; the operation was undone",
}
STATUSES_NOTE = "run ends with the status of its command, logs with that of journalctl."

ENVIRONMENT = {
    "BLOGCTL_SITE": "the site if --site is not given (sudo passes it on with --preserve-env=BLOGCTL_SITE)",
    "SUDO_USER": "set by sudo; the user's name in the journal of operations",
}

FILES_NOTE = "NAME is the site's name, ID a release's."
FILES = {
    "/etc/NAME/site.json": "the site's settings for blogctl; written by the role",
    "/etc/NAME/environment": "the app's settings and secrets",
    "/var/www/NAME": "link to the live release",
    "/opt/NAME/releases/ID": "the releases; .release.json in each describes it",
    "/opt/NAME/state": "notes of blogctl: that the blog has its first data",
    "/opt/NAME/operations.jsonl": "the journal of operations: who did what, from which release to which, the result",
    "/opt/NAME/maintenance": "the maintenance page is shown while this file exists",
    "/var/lib/NAME": "the app's data",
    "/var/backups/NAME": "backups; snapshots/ has the data from before releases and restores",
    "/run/flask-blog-hosting/NAME.lock": "held while an operation is under way; the kernel drops it with its process",
}

EXAMPLES = {
    'blogctl status || echo "somebody should look"': "",
    "blogctl rollback": "back to the previous good release",
    "blogctl rollback --dry-run": "what that would do, and lose",
    "blogctl logs --since=-1h": "the blog's journal of the last hour",
    "blogctl run -- flask shell": "a shell in the live release",
    "blogctl --site travel-blog --json releases": "",
}

SEE_ALSO = ("journalctl(1)", "systemctl(1)", "systemd.time(7)", "sudo(8)")
