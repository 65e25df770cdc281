# shellcheck shell=bash
# This computer: becoming root, and installing Debian's packages if it is a Debian.

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

is_debian() {
    [[ -e /etc/debian_version ]] && command -v apt-get >/dev/null
}

apt_install() { # PACKAGE...
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        echo "Installing $* needs root: run this as root, or install sudo."
        return 1
    fi
    # A third party's source that does not answer is no reason to stop; if Debian's own fails, the installation reports it.
    as_root apt-get update || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}
