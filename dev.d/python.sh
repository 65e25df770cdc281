# shellcheck shell=bash
# The Python tools: .venv, and .venv-newest with the newest Ansible if there is a Python for it.

# What ansible-core 2.19 (requirements/dev.txt) and 2.21 (requirements/newest.txt) run on.
readonly PYTHONS=(3.11 3.13) PYTHONS_NEWEST=(3.12 3.14)

find_python() { # LOWEST HIGHEST [oldest]: print the newest (or oldest) usable Python in this range; fail without one
    local candidate version best='' best_version=0
    for candidate in python3 python3.{11..14} "$HOME"/.pyenv/versions/*/bin/python3; do
        # A Python that cannot make environments is useless (Debian ships that part as python3-venv).
        version=$("$candidate" -c 'import ensurepip, sys; print(*sys.version_info[:2], sep=".")' 2>/dev/null) || continue
        version=${version/./}
        ((version >= ${1/./} && version <= ${2/./})) || continue
        if ((best_version == 0)) || { [[ ${3:-} == oldest ]] && ((version < best_version)); } ||
            { [[ ${3:-} != oldest ]] && ((version > best_version)); }; then
            best=$("$candidate" -c 'import sys; print(sys.executable)')
            best_version=$version
        fi
    done
    [[ -n $best ]] && echo "$best"
}

ensure_python() {
    find_python "${PYTHONS[@]}" >/dev/null && return
    is_debian || die "Python ${PYTHONS[0]} to ${PYTHONS[1]} with its venv module is missing. Install it and run this again."
    step python "Install python3 and python3-venv" apt_install python3 python3-venv
    find_python "${PYTHONS[@]}" >/dev/null ||
        die "Debian's python3 is not between ${PYTHONS[0]} and ${PYTHONS[1]}: use Debian 12 or 13, or put such a Python on PATH."
}

requirement_files() {
    echo requirements/dev.txt
    [[ ! -e examples/blog/requirements.txt ]] || echo examples/blog/requirements.txt
}

# Make an environment, unless it exists and was made from the same files by the same Python in the same place. The mark
# is written last, so an interrupted environment has none and is made again.
make_venv() { # FOLDER PYTHON REQUIREMENTS...
    local folder=$1 python=$2 file made_from options=()
    shift 2
    made_from=$(
        echo "$ROOT/$folder"
        "$python" --version
        sha256sum "$@"
    )
    [[ ! -e $folder/made-from || $(<"$folder/made-from") != "$made_from" ]] || return 0
    rm -rf "$folder"
    "$python" -m venv "$folder"
    for file in "$@"; do options+=(--requirement "$file"); done
    "$folder/bin/pip" install --disable-pip-version-check "${options[@]}"
    echo "$made_from" >"$folder/made-from"
}

setup_venv() {
    local files
    mapfile -t files < <(requirement_files)
    # The oldest, as .venv-newest has the newest: the two are both ends of what a controller may use.
    make_venv .venv "$(find_python "${PYTHONS[@]}" oldest)" "${files[@]}"
}

setup_venv_newest() {
    local python
    if ! python=$(find_python "${PYTHONS_NEWEST[@]}"); then
        echo "the newest Ansible needs Python ${PYTHONS_NEWEST[0]} or newer, and none is here"
        return 77
    fi
    make_venv .venv-newest "$python" requirements/newest.txt
}
