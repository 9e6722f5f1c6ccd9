#!/usr/bin/env bash
# Makes this checkout ready to run: system packages, then .venv. Does nothing where all is there.
#
#   setup/setup.sh            both
#   setup/setup.sh system     the system packages alone (the part that may need root)
#   setup/setup.sh tests      what the tests need besides: PostgreSQL's programs, where they can be installed
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
mkdir -p var
log=$root/var/setup.log
if [ "$(id -u)" -eq 0 ]; then # as root for a user, whose next run writes there too
    touch "$log"
    chown --reference="$root" var "$log"
elif ! touch "$log" 2>/dev/null; then
    log=$(mktemp --suffix=.setup.log)
fi
export log

source setup/shell.sh
source setup/apt.sh
source setup/system.sh
source setup/services.sh
source setup/python.sh

if [ "${1:-}" = tests ]; then
    ensure_postgres
    exit 0
fi
ensure_python
ensure_system
if [ "${1:-}" != system ]; then
    ensure_environment
fi
