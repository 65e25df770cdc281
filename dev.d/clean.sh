# shellcheck shell=bash
# Take away what the other commands made. Docker itself, and Debian's packages, stay.

clean() {
    say "Clean"
    clean_docker
    local path
    for path in .venv .venv-newest .dev .ansible .cache .mypy_cache .pytest_cache .ruff_cache tests/output; do
        [[ -e $path ]] || continue
        rm -rf "$path"
        say "  removed $path"
    done
    find . -name __pycache__ -type d -not -path './collections/*' -prune -exec rm -rf {} +
    next "./dev demo or ./dev test makes everything anew."
}

clean_docker() {
    local machines images
    if ! docker_answers; then
        say "  Docker does not answer: its containers and images, if any, stay"
        return
    fi
    mapfile -t machines < <(docker ps --all --filter "label=flaskblog.checkout=$ROOT" --format '{{ .Names }}')
    if ((${#machines[@]})); then
        docker rm --force --volumes "${machines[@]}" >/dev/null
        say "  removed the containers ${machines[*]}"
    fi
    # The images are shared by all checkouts on this computer; one that another checkout's container uses stays.
    mapfile -t images < <(docker images --filter 'reference=flaskblog/*' --format '{{ .Repository }}:{{ .Tag }}')
    if ((${#images[@]})); then
        docker rmi "${images[@]}" >/dev/null 2>&1 || say "  some images are in use by other containers and stay"
        say "  removed the images ${images[*]}"
    fi
}
