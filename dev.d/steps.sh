# shellcheck shell=bash
# The checks: ./dev test and ./dev lint. A step is a linter, a pytest suite, a scenario of molecule, or "newest".

# About how many seconds a step takes on two cores: the longest ones start first. Others count as 100.
declare -rA DURATION=(
    [interrupted_release]=900 [hostile_app]=560 [other_blogs]=400 [limits]=350 [two_at_once]=320 [rollback]=300
    [sources]=280 [hostile_build]=250 [bad_release]=250 [upgrade]=250 [newest]=240 [two_blogs]=240 [drift]=240
    [default]=200 [over_ssh]=200 [two_versions]=160 [unit]=150 [maintenance]=150 [lint-types]=50 [lint-ansible]=60
    [release_under_load]=240 [trusted_chain]=150 [templates]=60 [contract]=60 [example]=20 [rejects_bad_input]=100
    [restore]=300 [doctor]=180 [notify]=160 [remove]=150 [backups]=150 [faults]=150 [tls_provided]=270
    [host_hardening]=300 [tls_acme]=300 [hostile_client]=200 [lint-python]=5 [lint-yaml]=10 [lint-shell]=10
)

# The tests of one machine wait for it and for Ansible about half of the time, so two of them share a core.
readonly UNITS_PER_CORE=2

# Its visitors keep all cores busy, so nothing runs beside it.
readonly ALONE=release_under_load

readonly LINTERS=(lint-ansible lint-yaml lint-python lint-types lint-shell lint-collection lint-repository)
declare -rA SUITES=([unit]=tests/unit [contract]=tests/contract [templates]=tests/templates [example]=examples/blog/tests)

scenarios() {
    local file
    for file in molecule/*/molecule.yml; do
        [[ ! -e $file ]] || basename "$(dirname "$file")"
    done
}

is_scenario() { [[ -e molecule/$1/molecule.yml ]]; }

all_steps() { # in the order in which they start: the longest first, so that none is left to run alone at the end
    local name
    for name in $(scenarios) "${!SUITES[@]}" "${LINTERS[@]}" newest; do
        echo "${DURATION[$name]:-100} $name"
    done | sort --key=1,1nr --key=2 | cut -d ' ' -f 2
}

chosen_steps() { # NAME...: expand "lint", refuse what does not exist
    local name
    for name in "$@"; do
        if [[ $name == lint ]]; then
            printf '%s\n' "${LINTERS[@]}"
        elif is_scenario "$name" || grep -qxF -- "$name" <<<"$(all_steps)"; then
            echo "$name"
        else
            die "There is no step \"$name\". The steps: lint $(all_steps | tr '\n' ' ')"
        fi
    done
}

test_command() { # [--list | NAME...]
    local steps chosen name capacity needs_machines='' verdict
    if [[ ${1:-} == --list ]]; then
        all_steps
        return
    fi
    if (($#)); then chosen=$(chosen_steps "$@"); else chosen=$(all_steps); fi
    mapfile -t steps <<<"$chosen"
    for name in "${steps[@]}"; do
        if is_scenario "$name" || [[ $name == newest ]]; then needs_machines=yes; fi
    done

    if [[ $needs_machines ]]; then setup; else setup_for_linters; fi
    capacity=${FLASKBLOG_TEST_CAPACITY:-$((UNITS_PER_CORE * $(nproc)))}
    set_weights "$capacity" "${steps[@]}"
    say "Checks"
    export PATH=$ROOT/.venv/bin:$PATH NO_COLOR=1 MOLECULE_COMMAND_BORDERS=false
    pool "$capacity" run_check "${steps[@]}"
    verdict=$(count "${steps[@]}")
    summary "${steps[@]}"
    say "$verdict"
    [[ $verdict == *", 0 failed" ]]
}

set_weights() { # CAPACITY NAME...: one unit for each machine whose tests run at the same time; a core for what has no machine
    local name units capacity=$1
    shift
    for name in "$@"; do
        units=$UNITS_PER_CORE
        ! is_scenario "$name" || units=$(machines_of "$name")
        [[ $name != "$ALONE" ]] || units=$capacity
        weight+=(["$name"]=$units)
    done
}

machines_of() { # SCENARIO: how many of its machines are tested; .config/molecule/config.yml has two for each scenario
    local listed
    listed=$(grep --count 'groups: \[flask_blogs\]' "molecule/$1/molecule.yml" || true)
    echo "$((listed == 1 ? 1 : 2))"
}

run_check() { # NAME
    case $1 in
        lint-ansible) ansible-lint --offline ;;
        lint-yaml) yamllint --strict . ;;
        lint-python) ruff check && ruff format --check ;;
        lint-types) check_types ;;
        lint-shell) shell_files | xargs shellcheck --external-sources --check-sourced ;;
        lint-collection) tests/sanity/run ;;
        lint-repository) check_repository ;;
        newest) check_newest ;;
        *)
            if [[ -n ${SUITES[$1]:-} ]]; then
                run_suite "${SUITES[$1]}" .venv
            else
                # Molecule's own choice is the same for all checkouts whose folders have the same name.
                MOLECULE_EPHEMERAL_DIRECTORY=$STATE/molecule/$1 molecule test --scenario-name "$1"
            fi
            ;;
    esac
}

run_suite() { # FOLDER ENVIRONMENT
    local folder=$1 where=. temporary status=0
    if [[ ! -d $folder ]]; then
        echo "there is no $folder"
        return 77
    fi
    [[ $folder != examples/* ]] || where=$(dirname "$folder")
    # A pytest that starts closes the folder that all of a user's share, below the feet of those that run.
    temporary=$(mktemp -d)
    (cd "$where" && PYTEST_DEBUG_TEMPROOT=$temporary "$ROOT/$2/bin/python" -m pytest "$ROOT/$folder") || status=$?
    rm -rf "$temporary"
    return "$status"
}

check_repository() { # what the forge and pre-commit read
    zizmor --offline --no-progress .github
    check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
    check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/{bug,idea}.yml
    check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
    pre-commit validate-config
}

check_types() {
    local path paths=()
    for path in plugins roles/*/files tests molecule; do
        [[ -z $(find "$path" -name '*.py' -print -quit 2>/dev/null) ]] || paths+=("$path")
    done
    mypy "${paths[@]}"
    (cd benchmarks && MYPYPATH=../molecule:../tests/unit mypy --package bench)
}

shell_files() { # all files with a shell's first line; shellcheck follows ./dev to its parts
    find . .ci -type f -not -path './.*' -not -path './collections/*' -size -100k -print0 |
        xargs -0 awk 'FNR == 1 && /^#!.*[\/ ](ba)?sh$/ { print FILENAME } { nextfile }'
}

# Unit tests and a deployment with the newest Ansible: the second deployment must change nothing. It prints molecule's
# lines, so that they are counted the same way.
check_newest() {
    local machine=$FLASKBLOG_MACHINES-newest phase
    if [[ ! -e .venv-newest/made-from ]]; then
        echo "there is no Python that the newest Ansible runs on"
        return 77
    fi
    [[ ! -d tests/unit ]] || run_suite tests/unit .venv-newest
    export PATH=$ROOT/.venv-newest/bin:$PATH
    docker rm --force --volumes "$machine" >/dev/null 2>&1 || true
    containers/run "$machine" flaskblog/debian:13
    for phase in converge idempotence; do
        ansible-playbook -i tests/newest/inventory.yml playbooks/site.yml | tee "$STATE/newest-$phase.out"
        [[ $phase == converge ]] || grep -qE "^newest .* changed=0 " "$STATE/newest-$phase.out"
        echo "newest > $phase: Executed: Successful"
    done
    docker rm --force --volumes "$machine" >/dev/null
}

# Add up: pytest's own totals, one for each phase of a scenario that pytest does not count, and one for a step that has
# neither. A step that failed without a count is one failure.
count() { # NAME...: print "N passed, M failed"
    local name passed failed all_passed=0 all_failed=0
    for name in "$@"; do
        [[ ${result[$name]} != skipped ]] || continue
        read -r passed failed < <(count_in_log <"$(log_of "$name")")
        if [[ ${result[$name]} == ok ]]; then
            ((passed + failed)) || passed=1
        else
            ((failed)) || failed=1
        fi
        all_passed=$((all_passed + passed))
        all_failed=$((all_failed + failed))
    done
    echo "$all_passed passed, $all_failed failed"
}

count_in_log() { # prints "PASSED FAILED"
    awk '
        # pytest: "==== 2 failed, 4 passed in 0.96s ===="
        /^=+ .* in [0-9.]+s/ {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^(failed|errors?)/) failed += $(i - 1)
            }
        }
        # molecule: "default > converge: Executed: Successful"
        / > (check|converge|idempotence|prepare|side_effect): Executed: Successful/ { passed++ }
        / > (check|converge|idempotence|prepare|side_effect|create): Executed: Failed/ { failed++ }
        END { print passed + 0, failed + 0 }
    '
}

summary() { # NAME...: the results, and what to do next
    local name bad=() skipped=()
    for name in "$@"; do
        case ${result[$name]} in
            failed) bad+=("$name") ;;
            skipped) skipped+=("$name") ;;
        esac
    done
    say
    ((${#skipped[@]} == 0)) || say "Skipped: ${skipped[*]}"
    if ((${#bad[@]})); then
        say "Failed: ${bad[*]}. The logs are in .dev/logs."
        next "correct them, then ./dev test ${bad[*]}"
    else
        next "all is well: ./dev demo shows it."
    fi
}
