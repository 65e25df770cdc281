# shellcheck shell=bash
# Mutation testing: do the unit tests fail when the code is wrong? tests/mutation/README.md explains it.

title+=(["venv-mutate"]="Python environment .venv-mutate")

# The mutation tool has an environment of its own, with the packages of .venv behind it: measuring the coverage needs
# both. The mutants are tested with .venv alone, as ./dev test does.
setup_venv_mutate() {
    make_venv .venv-mutate .venv/bin/python requirements/mutate.txt
    printf '%s\n' "$ROOT"/.venv/lib/python*/site-packages >"$(echo "$ROOT"/.venv-mutate/lib/python*/site-packages)/venv.pth"
}

mutate() { # [OPTION...] [PATH...]
    setup_for_linters
    step venv-mutate "${title["venv-mutate"]}" setup_venv_mutate
    PYTHONPATH=tests .venv-mutate/bin/python -m mutation "$@"
}
