# shellcheck shell=bash
# Docker: install and start the engine if necessary, and the tools for the images of the test machines.

docker_answers() { docker info >/dev/null 2>&1; }

has_engine() { PATH=$PATH:/usr/sbin:/sbin command -v dockerd >/dev/null; }

install_engine() {
    apt_install docker.io
    # From Debian 13 on, the client is a package of its own.
    command -v docker >/dev/null || apt_install docker-cli
}

start_engine() {
    if [[ -d /run/systemd/system ]]; then
        as_root systemctl start docker
    else
        # No systemd here (a container, a CI machine): the engine runs in the background until the machine ends.
        # shellcheck disable=SC2024 # the log belongs to the user who runs this
        PATH=$PATH:/usr/sbin:/sbin as_root setsid nohup dockerd >>"$STATE/dockerd.log" 2>&1 </dev/null &
    fi
    local _
    for _ in {1..60}; do
        as_root docker info >/dev/null 2>&1 && return
        sleep 0.5
    done
    echo "The Docker engine did not answer within 30 seconds."
    [[ ! -e $STATE/dockerd.log ]] || tail -n 20 "$STATE/dockerd.log"
    return 1
}

# Members of the group "docker" may use the engine. Membership applies to new sessions, so this command starts again.
join_docker_group() {
    say "  ... $USER joins the group docker; this command continues as its member"
    as_root usermod --append --groups docker "$USER"
    FLASKBLOG_DEV_REJOINED=1 exec sg docker -c "$(printf '%q ' "${COMMAND[@]}")"
}

ensure_docker() {
    docker_answers && return
    is_debian || die "Docker does not answer. Install Docker Engine (https://docs.docker.com/engine/install/), start it, \
see that \"docker info\" works for you, and run this again."
    has_engine || step docker-install "Install the Docker engine (Debian's docker.io)" install_engine
    as_root docker info >/dev/null 2>&1 || step docker-start "Start the Docker engine" start_engine
    docker_answers && return
    ((EUID != 0)) && [[ -z ${FLASKBLOG_DEV_REJOINED:-} ]] && join_docker_group
    die "The Docker engine runs, but \"docker info\" fails for you; see what it says."
}

ensure_image_tools() {
    local packages
    containers/build --check && return
    packages=$(containers/build --needs)
    [[ -n $packages ]] && ! command -v "$packages" >/dev/null || return 0
    is_debian || die "No container registry answers, and without one the images are made by mmdebstrap. Give Docker \
access to a registry, or install mmdebstrap."
    step mmdebstrap "Install $packages (no container registry answers)" apt_install "$packages"
}
