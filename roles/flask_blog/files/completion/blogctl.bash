# Managed by Ansible (flaskblog.hosting). What the Tab key offers after blogctl, in bash.
# It needs nothing but bash: without the package bash-completion, source this file from ~/.bashrc.
# shellcheck shell=bash

_blogctl() {
    # Users that are not root seldom have sbin on their path, and "sudo blogctl" asks as the user.
    mapfile -t COMPREPLY < <(/usr/local/sbin/blogctl complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}

complete -F _blogctl blogctl
