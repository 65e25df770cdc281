# shellcheck shell=bash
# The demo: a bare Debian 12 container, the example blog deployed on it by the playbook that serves real servers.

readonly DEMO=$FLASKBLOG_MACHINES-demo DEMO_FILES=$STATE/demo

demo() {
    local address
    setup
    say "Demo"
    make_demo_password
    start_demo_machine
    address=http://localhost:$(<"$DEMO_FILES/port")/
    deploy_demo
    step demo-check "The blog answers at $address" wait_for_page "$address"
    cat <<TEXT

The blog is at $address
Log in as admin with the password $(<"$DEMO_FILES/admin-password")

Deploy it again, after you changed examples/blog:
  .venv/bin/ansible-playbook -i inventories/demo playbooks/site.yml
Look around on the server:
  docker exec -it $DEMO bash
TEXT
    next "host your own blog on a real server: copy inventories/production, edit its commented lines, and run
      .venv/bin/ansible-playbook -i inventories/mine playbooks/site.yml
      ./dev clean removes the demo."
}

make_demo_password() { # once: a rerun keeps it
    local file=$DEMO_FILES/admin-password
    [[ ! -s $file ]] || return 0
    mkdir -p "$DEMO_FILES"
    (umask 077 && head -c 15 /dev/urandom | base64 | tr '+/' '-_' >"$file.part")
    mv "$file.part" "$file"
}

# The machine keeps its port while it exists, because the blog's links contain it.
start_demo_machine() {
    local state
    echo "$DEMO" >"$DEMO_FILES/machine" # for inventories/demo
    state=$(docker inspect --format '{{ .State.Status }}' "$DEMO" 2>/dev/null || true)
    if [[ -s $DEMO_FILES/port && $state =~ ^(running|exited)$ ]]; then
        [[ $state == running ]] || step demo-machine "Start the machine $DEMO again" docker start "$DEMO"
        return
    fi
    [[ -z $state ]] || docker rm --force --volumes "$DEMO" >/dev/null
    free_port 8080 >"$DEMO_FILES/port"
    step demo-machine "Start the machine $DEMO, a bare Debian 12" \
        containers/run "$DEMO" flaskblog/debian:12 --publish "127.0.0.1:$(<"$DEMO_FILES/port"):$(<"$DEMO_FILES/port")"
}

free_port() { # FIRST: print it, or the next one that nobody listens on
    local port=$1
    while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

deploy_demo() {
    say "  ... Deploy the blog (ansible-playbook -i inventories/demo playbooks/site.yml)"
    PATH=$ROOT/.venv/bin:$PATH ansible-playbook -i inventories/demo playbooks/site.yml ||
        die "The deployment failed; Ansible's last message above says why. Correct it and run ./dev demo again."
}

wait_for_page() { # URL
    "$ROOT/.venv/bin/python" - "$1" <<'PYTHON'
import sys
import time
import urllib.request

url, last = sys.argv[1], None
for _ in range(20):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            print(answer.status, url)
            sys.exit(0)
    except OSError as problem:
        last = problem
        time.sleep(0.5)
sys.exit(f"{url} does not answer: {last}")
PYTHON
}
