# shellcheck shell=bash
# What ./dev says: a line when something starts, a line when it ends, and the log when it fails.

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

show_log() { # NAME: the end of its log, and where the rest is
    say "---- the last lines of .dev/logs/$1.log"
    tail -n 60 "$(log_of "$1")"
    say "---- all of it: .dev/logs/$1.log"
}

# By name: how a piece of work is called where its name is not enough, and how it ended (ok, failed or skipped).
declare -A title=() result=()

# Run RUNNER NAME for each name, at most WIDTH at once, the output of each in a log. A runner that returns 77 has
# skipped its work, and the last line of its log says why. Never call this in a condition: `set -e` would be off inside.
pool() { # WIDTH RUNNER NAME...
    local width=$1 runner=$2 name pid status label
    local -A name_of=() began=()
    shift 2
    mkdir -p "$STATE/logs"
    set -m # a process group for each, so that an interruption can end all that it has started
    trap 'for pid in "${!name_of[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done; exit 130' INT TERM
    while (($# || ${#name_of[@]})); do
        if (($# && ${#name_of[@]} < width)); then
            name=$1
            shift
            say "  ... ${title[$name]:-$name}"
            "$runner" "$name" >"$(log_of "$name")" 2>&1 </dev/null &
            name_of[$!]=$name
            began[$!]=$EPOCHSECONDS
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
        unset "name_of[$pid]"
    done
    trap - INT TERM
    set +m
}

must_succeed() { # NAME...
    local name
    for name in "$@"; do
        [[ ${result[$name]} != failed ]] ||
            die "Failed: ${title[$name]:-$name}. Mend what its log says and run the same command again; what is done is kept."
    done
}

# One thing at a time; nothing goes on when it fails.
step() { # NAME TITLE COMMAND...
    local name=$1
    title[$name]=$2
    step_command=("${@:3}")
    pool 1 run_step_command "$name"
    must_succeed "$name"
}

run_step_command() { "${step_command[@]}"; }
