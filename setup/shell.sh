# shellcheck shell=bash disable=SC2154  # `root`, `log` and `python` are set by the script that sources this
# Shared by the set-up scripts: messages, and commands whose output goes to the log.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "set-up stopped: $1"
    shift
    for line in "$@"; do say "  $line"; done
    exit 1
}

# logged DESCRIPTION COMMAND...: runs it with its output in $log, one line on the terminal
# meanwhile, and the end of the log on failure.
logged() {
    local description=$1 started=$SECONDS
    shift
    printf '\n== %s: %s\n' "$description" "$*" >>"$log"
    say "$description ..."
    "$@" >>"$log" 2>&1 </dev/null &
    local job=$!
    trap 'kill "$job" 2>/dev/null; exit 130' INT TERM
    if [ -t 2 ]; then
        while kill -0 "$job" 2>/dev/null; do
            printf '\r\033[K  %4d s  %s' "$((SECONDS - started))" "$(tail -n 1 "$log" | cut -c 1-90)" >&2
            sleep 1
        done
        printf '\r\033[K' >&2
    fi
    local status=0
    wait "$job" || status=$?
    trap - INT TERM
    if [ "$status" -ne 0 ]; then
        tail -n 15 "$log" >&2
        die "$description failed (exit $status); the whole output is in $log"
    fi
    say "  done in $((SECONDS - started)) s"
}

# become_root: sets `as_root`, the command prefix that gives root, or fails where there is none. Where sudo wants a
# password it is asked for here, at the terminal: commands whose output goes to the log have none.
as_root=
become_root() {
    if [ "$(id -u)" -eq 0 ]; then
        return 0
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
        as_root=sudo
    else
        return 1
    fi
}

os_release() { # os_release KEY
    sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "${OS_RELEASE:-/etc/os-release}"
}
