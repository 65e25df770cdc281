#compdef blogctl
# Managed by Ansible (flaskblog.hosting). What the Tab key offers after blogctl, in zsh.

local -a candidates
candidates=(${(f)"$(/usr/local/sbin/blogctl complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
compadd -a -- candidates
