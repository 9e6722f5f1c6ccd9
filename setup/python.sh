# shellcheck shell=bash disable=SC2154  # `root`, `log` and `python` are set by the script that sources this
# Python 3.11 and .venv, made from requirements.lock.

stamp=.venv/.worldvla-setup

is_python311() {
    "$1" -c 'import sys; raise SystemExit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1
}

find_python() { # prints the first Python 3.11 that runs, or $PYTHON where that is one
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        is_python311 "$PYTHON" && echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3 /usr/bin/python3.11 "$HOME"/.pyenv/versions/3.11*/bin/python; do
        if is_python311 "$candidate"; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

can_make_environments() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Sets `python`. Debian and Ubuntu ship venv apart from Python itself.
ensure_python() {
    if [ -n "${PYTHON:-}" ] && ! is_python311 "$PYTHON"; then
        die "PYTHON=$PYTHON is no Python 3.11 that runs; name one, or leave it out."
    fi
    if python=$(find_python) && can_make_environments "$python"; then
        return 0
    fi
    if ! command -v apt-get >/dev/null || ! offers_python311; then
        die "Python 3.11 with venv was not found." \
            "Install it (for one user: pyenv install 3.11, or uv python install 3.11), or name it:" \
            "PYTHON=/path/to/python3.11 make demo"
    fi
    become_root ||
        die "Python 3.11 with venv was not found. Run this, then the same command again:" \
            "su -c 'apt-get install python3.11-venv'"
    logged "Installing python3.11-venv" apt_get install -y --no-install-recommends python3.11-venv
    python=$(find_python) || die "python3.11-venv is installed and no Python 3.11 runs"
}

offers_python311() {
    if [ -z "$(candidate_version python3.11-venv)" ] && become_root; then
        logged "Updating the package lists" apt_get update
    fi
    [ -n "$(candidate_version python3.11-venv)" ]
}

# Changes when what is to be installed, where, or for which Python changes.
environment_digest() {
    { cat requirements.lock setup/no-deps.txt pyproject.toml && echo "$root" && "$python" -c 'import sys; print(sys.base_prefix, sys.version)'; } | sha256sum
}

# Whether .venv is one of this Python, and not half of one: its making may have been killed.
is_environment() {
    local base='import sys; print(sys.base_prefix, sys.version)'
    [ "$(.venv/bin/python -c "$base" 2>/dev/null)" = "$("$python" -c "$base")" ] &&
        .venv/bin/python -m pip --version >/dev/null 2>&1
}

ensure_environment() {
    local digest
    digest=$(environment_digest)
    if [ -x .venv/bin/worldvla ] && [ "$(cat "$stamp" 2>/dev/null)" = "$digest" ]; then
        return 0
    fi
    rm -f "$stamp"
    is_environment || logged "Making .venv" "$python" -m venv --clear .venv
    logged "Installing the $(grep -c == requirements.lock) packages of requirements.lock into .venv" \
        .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --constraint requirements.lock --editable '.[dev]'
    logged "Installing LIBERO without its dependencies" \
        .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --no-deps --requirement setup/no-deps.txt
    echo "$digest" >"$stamp"
}
