# shellcheck shell=bash
# Remove what the other commands of this checkout made. Docker itself, and Debian's packages, stay.

clean() {
    say "Clean"
    clean_docker
    local path
    for path in .venv .venv-newest .venv-bench .venv-mutate .dev .ansible .cache .mypy_cache .pytest_cache .ruff_cache tests/output; do
        [[ -e $path ]] || continue
        rm -rf "$path"
        say "  removed $path"
    done
    find . -name __pycache__ -type d -not -path './collections/*' -prune -exec rm -rf {} +
    next "./dev demo or ./dev test makes everything again."
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
    # All checkouts on this computer share the images; one that another checkout's container uses stays.
    mapfile -t images < <(docker images --filter 'reference=flaskblog/*' --format '{{ .Repository }}:{{ .Tag }}')
    local image
    for image in "${images[@]}"; do
        if docker rmi "$image" >/dev/null 2>&1; then
            say "  removed the image $image"
        else
            say "  the image $image is in use and stays"
        fi
    done
}
