#!/usr/bin/env bash
# The article's steps as a shell script: article.sh SSH_CONFIG HOST SOURCE
#
# It deploys SOURCE and the files in files/ on HOST. It skips steps that are already done. SECRET_KEY and
# ADMIN_PASSWORD come from the environment.
set -euo pipefail

config=$1 host=$2 source=$3
files=$(dirname "$0")/files

remote() { ssh -F "$config" "$host" "$@"; }

# What runs on the host, as root.
on_host() {
    set -euo pipefail
    export DEBIAN_FRONTEND=noninteractive
    local incoming=/home/admin app=/var/www/flask-blog code_changed='' nginx_changed='' units_changed='' path

    if ! dpkg -s nginx python3-venv >/dev/null 2>&1; then
        apt-get -q update
        apt-get -q -y --no-install-recommends install nginx python3-venv
    fi
    id flask-blog >/dev/null 2>&1 || useradd --system --home-dir "$app" --shell /usr/sbin/nologin flask-blog

    # Step 1: the code, and its virtual environment
    mkdir -p "$app" /etc/flask-blog
    install -d -m 0700 /var/backups/flask-blog
    if grep -qv "^Only in $app" < <(diff --recursive --brief "$incoming/code" "$app"); then
        code_changed=yes
        cp -R "$incoming/code/." "$app/"
        chown -R flask-blog:flask-blog "$app"
    fi
    [[ -x $app/venv/bin/pip ]] || python3 -m venv "$app/venv"
    if ! cmp -s "$app/requirements.txt" "$app/venv/requirements.installed"; then
        "$app/venv/bin/pip" install -r "$app/requirements.txt" gunicorn
        cp "$app/requirements.txt" "$app/venv/requirements.installed"
    fi

    # Step 2: the settings, and the database
    if [[ ! -e /etc/flask-blog/environment ]]; then
        (
            umask 027
            cat >/etc/flask-blog/environment <<TEXT
FLASK_APP=app:app
FLASK_ENV=production
BEHIND_PROXY=true
PROXY_FIX_X_FOR=1
PROXY_FIX_X_PROTO=1
PROXY_FIX_X_HOST=1
SESSION_COOKIE_SECURE=false
SECRET_KEY=$SECRET_KEY
ADMIN_PASSWORD=$ADMIN_PASSWORD
TEXT
            chgrp flask-blog /etc/flask-blog/environment
        )
    fi
    if [[ ! -e $app/database.db ]]; then
        runuser -u flask-blog -- bash -ec '
            cd /var/www/flask-blog
            set -a
            source /etc/flask-blog/environment
            venv/bin/flask db upgrade
            venv/bin/flask create-admin admin
            venv/bin/flask seed'
    fi

    # Steps 3 and 4: systemd and nginx
    while read -r path; do
        cmp -s "$incoming/files/$path" "/$path" && continue
        cp "$incoming/files/$path" "/$path"
        case $path in
            etc/nginx/*) nginx_changed=yes ;;
            etc/systemd/*) units_changed=yes ;;
        esac
    done < <(cd "$incoming/files" && find . -type f -printf '%P\n')
    if [[ $units_changed ]]; then
        systemctl daemon-reload
        systemctl enable --now flask-blog-backup.timer
        systemctl enable flask-blog
    fi
    if [[ $units_changed || $code_changed ]]; then systemctl restart flask-blog; fi
    if [[ $nginx_changed ]]; then
        rm -f /etc/nginx/sites-enabled/default
        ln -sf /etc/nginx/sites-available/flask-blog.conf /etc/nginx/sites-enabled/
        nginx -t
        systemctl reload nginx
    fi

    # Done when visitors get the blog: Debian's default site answers for "/" as well, and for a moment after the reload.
    python3 - <<'PYTHON'
import http.client, sys, time
in_a_row = 0
for _ in range(200):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
        connection.request("GET", "/healthz", headers={"Host": "blog.test"})
        in_a_row = in_a_row + 1 if connection.getresponse().status == 200 else 0
    except OSError:
        in_a_row = 0
    if in_a_row == 5:
        sys.exit(0)
    if not in_a_row:
        time.sleep(0.1)
sys.exit("the site does not answer")
PYTHON
    [[ ! $code_changed$nginx_changed$units_changed ]] || echo changed
}

tar -cz --owner=0 --group=0 -C "$source" . |
    remote 'rm -rf ~/code && mkdir ~/code && tar -xzf - -C ~/code'
tar -cz --owner=0 --group=0 -C "$files" . | remote 'rm -rf ~/files && mkdir ~/files && tar -xzf - -C ~/files'
{
    printf 'SECRET_KEY=%q ADMIN_PASSWORD=%q\n' "$SECRET_KEY" "$ADMIN_PASSWORD"
    declare -f on_host
    echo 'on_host </dev/null'
} | remote 'sudo bash -s'
