# shellcheck shell=bash
# What the commands need before they start. Each part is quick if there is nothing to do.

title+=(
    ["venv"]="Python environment .venv"
    ["venv-newest"]="Python environment .venv-newest"
    ["images"]="Images of Debian 12 and 13 machines"
)

setup() {
    say "Setup"
    # Steps that may use apt come first, one after the other; the rest runs at the same time.
    ensure_python
    ensure_docker
    ensure_image_tools
    make_ssh_key
    pool 2 setup_part images venv venv-newest
    must_succeed images venv venv-newest
}

setup_for_linters() {
    say "Setup"
    ensure_python
    pool 1 setup_part venv
    must_succeed venv
}

setup_part() { # NAME
    case $1 in
        images) containers/build ;;
        venv) setup_venv ;;
        venv-newest) setup_venv_newest ;;
    esac
}

make_ssh_key() { # for the test machines that are reached over SSH, and nothing else
    local key=$STATE/ssh/id_ed25519
    [[ ! -e $key.pub ]] || return 0
    if ! command -v ssh-keygen >/dev/null; then
        is_debian || die "ssh-keygen is missing. Install OpenSSH's client and run this again."
        step openssh "Install openssh-client" apt_install openssh-client
    fi
    mkdir -p "$STATE/ssh"
    rm -f "$key"
    step ssh-key "A key for test machines" ssh-keygen -q -t ed25519 -N '' -C 'flaskblog test machines' -f "$key"
}
