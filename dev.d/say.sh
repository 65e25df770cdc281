# shellcheck shell=bash
# Output of ./dev: a line when a step starts, a line when it ends, and its log if it fails.

say() { printf '%s\n' "$*"; }

die() {
    printf '\n%s\n' "$*" >&2
    exit 1
}

next() { printf '\nNext: %s\n' "$*"; }

seconds_since() { # EPOCHSECONDS
    echo "$((EPOCHSECONDS - $1)) s"
}

log_of() { echo "$STATE/logs/$1.log"; }

show_log() { # NAME: the end of its log, and the path of all of it
    say "---- the last lines of .dev/logs/$1.log"
    tail -n 60 "$(log_of "$1")"
    say "---- all of it: .dev/logs/$1.log"
}

# By a step's name: its title if the name is not enough, its result (ok, failed or skipped), and its weight if that is
# not 1.
declare -A title=() result=() weight=()

# Run RUNNER NAME for each name, in this order, with its output in a log. The weights of the steps that run at the same
# time do not exceed CAPACITY, except for a heavier step, which runs alone; a step that does not fit lets later ones go
# first. A runner that returns 77 has skipped its step, and the last line of its log gives the reason. Never call this
# in a condition: `set -e` would be off inside.
pool() { # CAPACITY RUNNER NAME...
    local capacity=$1 runner=$2 queue=("${@:3}") running=0 name pid status label
    local -A name_of=() began=()
    mkdir -p "$STATE/logs"
    set -m # a process group for each, so that an interruption can end all that it has started
    trap 'for pid in "${!name_of[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done; exit 130' INT TERM
    while ((${#queue[@]} || ${#name_of[@]})); do
        if name=$(first_that_fits "$((capacity - running))" "${queue[@]}") ||
            { ((running == 0)) && name=${queue[0]}; }; then
            without "$name" "${queue[@]}"
            say "  ... ${title[$name]:-$name}"
            "$runner" "$name" >"$(log_of "$name")" 2>&1 </dev/null &
            name_of[$!]=$name
            began[$!]=$EPOCHSECONDS
            running=$((running + ${weight[$name]:-1}))
            continue
        fi
        status=0
        wait -n -p pid "${!name_of[@]}" || status=$?
        name=${name_of[$pid]}
        label="${title[$name]:-$name} ($(seconds_since "${began[$pid]}"))"
        case $status in
            0)
                result[$name]=ok
                say "  ok  $label"
                ;;
            77)
                result[$name]=skipped
                say "  --  ${title[$name]:-$name} skipped: $(tail -n 1 "$(log_of "$name")")"
                ;;
            *)
                result[$name]=failed
                say "  BAD $label"
                show_log "$name"
                ;;
        esac
        running=$((running - ${weight[$name]:-1}))
        unset "name_of[$pid]"
    done
    trap - INT TERM
    set +m
}

first_that_fits() { # FREE NAME...: print the first step whose weight is at most FREE; fail if there is none
    local free=$1 name
    for name in "${@:2}"; do
        ((${weight[$name]:-1} > free)) || { echo "$name" && return; }
    done
    return 1
}

without() { # NAME NAME...: set $queue, of pool, to all names but the first argument
    local name
    queue=()
    for name in "${@:2}"; do [[ $name == "$1" ]] || queue+=("$name"); done
}

must_succeed() { # NAME...
    local name
    for name in "$@"; do
        [[ ${result[$name]} != failed ]] ||
            die "Failed: ${title[$name]:-$name}. Correct what its log reports and run the same command again; finished steps are kept."
    done
}

# Run one command as a step; exit if it fails.
step() { # NAME TITLE COMMAND...
    local name=$1
    title[$name]=$2
    step_command=("${@:3}")
    pool 1 run_step_command "$name"
    must_succeed "$name"
}

run_step_command() { "${step_command[@]}"; }
