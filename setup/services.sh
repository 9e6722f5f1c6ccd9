# shellcheck shell=bash disable=SC2154  # `root` and `log` are set by the script that sources this
# What the tests need beside the environment: a PostgreSQL server's programs. The tests start servers of
# their own from them. Where they cannot be had, those tests are skipped and say so; nothing else needs them.

postgres_programs=${POSTGRES_PROGRAMS:-/usr/lib/postgresql}
postgres_settings=${POSTGRES_SETTINGS:-/etc/postgresql-common}

has_postgres() {
    command -v initdb >/dev/null || [ -n "$(find "$postgres_programs" -path '*/bin/initdb' 2>/dev/null)" ]
}

ensure_postgres() {
    if has_postgres; then
        return 0
    elif ! command -v apt-get >/dev/null; then
        say "The tests on PostgreSQL will be skipped: install its server (initdb is not in the PATH)."
    elif ! become_root; then
        say "The tests on PostgreSQL will be skipped. To run them: su -c 'bash $root/setup/setup.sh tests'"
    else
        (install_postgres) || say "The tests on PostgreSQL will be skipped: it could not be installed, as said above."
    fi
}

install_postgres() {
    keep_postgres_from_starting
    logged "Updating the package lists" apt_get update
    logged "Installing postgresql" apt_get install -y --no-install-recommends postgresql
}

# Debian's package would make a cluster and start it, now and at every boot.
keep_postgres_from_starting() {
    if [ ! -e "$postgres_settings/createcluster.conf" ]; then
        $as_root mkdir -p "$postgres_settings"
        echo "create_main_cluster = false" | $as_root tee "$postgres_settings/createcluster.conf" >/dev/null
    fi
}
