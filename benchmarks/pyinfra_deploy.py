"""The role's deployment as a user of pyinfra 3 would write it; the data comes with the inventory.

It makes what article.sh makes, from the same files. Where pyinfra leaves a choice, this takes the faster one: pip runs
only after the code or the environment has changed, and in one call. With the data `code` empty the code is left as it
is, which shows what pyinfra's comparison of the code costs.
"""

from pyinfra import config, host
from pyinfra.facts.files import File
from pyinfra.operations import apt, files, pip, server, systemd
from pyinfra.operations.util import any_changed

config.SUDO = True

APP = "/var/www/flask-blog"
VENV = f"{APP}/venv"
ACCOUNT = "flask-blog"
SETTINGS = "/etc/flask-blog/environment"
SITE = "/etc/nginx/sites-available/flask-blog.conf"

INIT = f"""
set -ea; . {SETTINGS}
{VENV}/bin/flask db upgrade
{VENV}/bin/flask create-admin admin
{VENV}/bin/flask seed
"""

WAIT_FOR_PAGE = """
import http.client, sys, time
for _ in range(100):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
        connection.request("GET", "/healthz", headers={"Host": "blog.test"})
        if connection.getresponse().status == 200:
            sys.exit(0)
    except OSError:
        pass
    time.sleep(0.1)
sys.exit("the site does not answer")
"""

apt.packages(
    name="Install Debian's packages",
    packages=["nginx", "python3-venv"],
    no_recommends=True,
    update=True,
    cache_time=86400,
)
server.user(  # noqa: S604 # the account's login shell, not subprocess's
    name="Make the app's account",
    user=ACCOUNT,
    home=APP,
    shell="/usr/sbin/nologin",
    system=True,
    ensure_home=False,
)

# Step 1: the code, and its virtual environment
code = [
    files.sync(name="Bring the code", src=host.data.code, dest=APP, user=ACCOUNT, group=ACCOUNT, add_deploy_dir=False)
    for _ in range(bool(host.data.code))
]
venv = pip.venv(name="Make the virtual environment", path=VENV, python="python3")
pip.packages(
    name="Install what the blog requires",
    requirements=f"{APP}/requirements.txt",
    pip=f"{VENV}/bin/pip",
    extra_install_args="gunicorn",
    _if=any_changed(venv, *code),
)

# Step 2: the settings, and the database
settings = files.template(
    name="Write the settings",
    src="templates/environment.j2",
    dest=SETTINGS,
    group=ACCOUNT,
    mode="640",
    secret_key=host.data.secret_key,
    admin_password=host.data.admin_password,
)
if not host.get_fact(File, path=f"{APP}/database.db"):
    server.shell(name="Make the database", commands=[INIT], _sudo_user=ACCOUNT, _chdir=APP)

# Step 3: systemd, and the backups with it
files.directory(name="Make the folder of the backups", path="/var/backups/flask-blog", mode="700")
files.put(
    name="Bring the backup program",
    src="files/usr/local/bin/flask-blog-backup",
    dest="/usr/local/bin/flask-blog-backup",
    mode="755",
)
service, backup, timer = (
    files.put(name=f"Write {unit}", src=f"files/etc/systemd/system/{unit}", dest=f"/etc/systemd/system/{unit}")
    for unit in ("flask-blog.service", "flask-blog-backup.service", "flask-blog-backup.timer")
)
systemd.daemon_reload(name="Make systemd read the units", _if=any_changed(service, backup, timer))
systemd.service(
    name="Restart the app", service="flask-blog", restarted=True, _if=any_changed(service, settings, venv, *code)
)
systemd.service(name="Run the app", service="flask-blog", running=True, enabled=True)
systemd.service(name="Run the backup's timer", service="flask-blog-backup.timer", running=True, enabled=True)

# Step 4: nginx
site = files.put(name="Write nginx's site", src=f"files{SITE}", dest=SITE)
link = files.link(name="Enable the site", path="/etc/nginx/sites-enabled/flask-blog.conf", target=SITE)
default = files.link(name="Remove Debian's own site", path="/etc/nginx/sites-enabled/default", present=False)
systemd.service(name="Run nginx", service="nginx", running=True, enabled=True)
server.shell(
    name="Check and reload nginx",
    commands=["nginx -t && systemctl reload nginx"],
    _if=any_changed(site, link, default),
)

# Done when a visitor gets the page.
server.shell(
    name="Wait for the page",
    commands=[f"python3 -c '{WAIT_FOR_PAGE}'"],
    _if=any_changed(service, settings, site, link, default, venv, *code),
)
