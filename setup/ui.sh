#!/usr/bin/env bash
# Dagster's web server and daemon and MLflow's server over this project's data, on 127.0.0.1: neither
# asks who is there, so whoever reaches them may start runs. WORLDVLA_UI_HOST names another address.
# They end together: on Ctrl-C, or when one of them ends.
#
#   setup/ui.sh DAGSTER_PORT MLFLOW_PORT
set -euo pipefail

dagster_port=$1 mlflow_port=$2
host=${WORLDVLA_UI_HOST:-127.0.0.1}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
WORLDVLA_HOME=$(realpath -m "${WORLDVLA_HOME:-var}")
DAGSTER_HOME=$(realpath -m "${DAGSTER_HOME:-$WORLDVLA_HOME/dagster}")
export WORLDVLA_HOME DAGSTER_HOME
mkdir -p "$DAGSTER_HOME" "$WORLDVLA_HOME/mlflow" "$WORLDVLA_HOME/logs"
# SQLAlchemy takes psycopg 3 where no driver is named; what is installed, and what dagster-postgres is written for, is 2.
for name in DAGSTER_POSTGRES_URL MLFLOW_TRACKING_URI; do
    [ -z "${!name:-}" ] || export "$name=${!name/#postgresql:/postgresql+psycopg2:}"
done
.venv/bin/python -m pipelines.instance >/dev/null
# One of these a home: web server, daemon and MLflow inherit the lock, so that it is held until the last of them has ended.
exec 9>"$DAGSTER_HOME/server.lock"
flock --nonblock 9 || {
    echo "a server of $DAGSTER_HOME runs already, or has not ended yet: end it first" >&2
    exit 1
}
# What a server before this one executed when the power went. In a database that others share it may be theirs.
[ -n "${DAGSTER_POSTGRES_URL:-}" ] || .venv/bin/python -m pipelines.dead_runs

jobs=()
finish() {
    trap - INT TERM EXIT
    kill "${jobs[@]}" 2>/dev/null || true
    wait
}
trap finish EXIT
trap 'exit 0' INT TERM

# start NAME COMMAND...: its output goes to a log of its own. Dagster ends its own processes by the signal of Ctrl-C, which
# whatever a shell started in the background would ignore.
start() {
    local name=$1
    shift
    env --default-signal=INT "$@" >"$WORLDVLA_HOME/logs/$name.log" 2>&1 &
    jobs+=($!)
}

code_location=(--working-directory "$PWD" --module-name pipelines.definitions)
start dagster-webserver .venv/bin/dagster-webserver --host "$host" --port "$dagster_port" "${code_location[@]}"
start dagster-daemon .venv/bin/dagster-daemon run "${code_location[@]}"
case ${MLFLOW_TRACKING_URI:=sqlite:///$WORLDVLA_HOME/mlflow/mlflow.db} in
http://* | https://*) mlflow=${MLFLOW_TRACKING_URI##*@} ;; # a server runs elsewhere
*)
    .venv/bin/python -m worldvla.tracking.client
    # In the environment, not among the arguments: a database's password would stand in every process list.
    MLFLOW_BACKEND_STORE_URI=$MLFLOW_TRACKING_URI
    MLFLOW_ARTIFACTS_DESTINATION=${MLFLOW_DEFAULT_ARTIFACT_ROOT:-$WORLDVLA_HOME/mlflow/artifacts}
    # Nothing here uses MLflow's job queue: workers that unpickle what they are handed.
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
    export MLFLOW_BACKEND_STORE_URI MLFLOW_ARTIFACTS_DESTINATION MLFLOW_SERVER_ENABLE_JOB_EXECUTION
    start mlflow .venv/bin/mlflow server --host "$host" --port "$mlflow_port"
    mlflow=http://$host:$mlflow_port
    ;;
esac

echo "Dagster http://$host:$dagster_port    MLflow $mlflow    logs in $WORLDVLA_HOME/logs    Ctrl-C ends all"
wait -n || true
echo "one of them ended; its log in $WORLDVLA_HOME/logs says why" >&2
exit 1
