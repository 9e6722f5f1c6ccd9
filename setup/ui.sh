#!/usr/bin/env bash
# Dagster's web server and daemon and MLflow's server over this project's data, on 127.0.0.1.
# They end together: on Ctrl-C, or when one of them ends.
#
#   setup/ui.sh DAGSTER_PORT MLFLOW_PORT
set -euo pipefail

dagster_port=$1 mlflow_port=$2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
WORLDVLA_HOME=$(realpath -m "${WORLDVLA_HOME:-var}")
DAGSTER_HOME=$WORLDVLA_HOME/dagster
export WORLDVLA_HOME DAGSTER_HOME
mkdir -p "$DAGSTER_HOME" "$WORLDVLA_HOME/mlflow" "$WORLDVLA_HOME/logs"
cp dagster.yaml "$DAGSTER_HOME/dagster.yaml"

jobs=()
finish() {
    trap - INT TERM EXIT
    kill "${jobs[@]}" 2>/dev/null || true
    wait
}
trap finish EXIT
trap 'exit 0' INT TERM

start() { # start NAME COMMAND...: its output goes to a log of its own
    local name=$1
    shift
    "$@" >"$WORLDVLA_HOME/logs/$name.log" 2>&1 &
    jobs+=($!)
}

code_location=(--working-directory "$PWD" --module-name pipelines.definitions)
start dagster-webserver .venv/bin/dagster-webserver --host 127.0.0.1 --port "$dagster_port" "${code_location[@]}"
start dagster-daemon .venv/bin/dagster-daemon run "${code_location[@]}"
start mlflow .venv/bin/mlflow server --host 127.0.0.1 --port "$mlflow_port" \
    --backend-store-uri "sqlite:///$WORLDVLA_HOME/mlflow/mlflow.db" \
    --artifacts-destination "$WORLDVLA_HOME/mlflow/artifacts"

echo "Dagster http://127.0.0.1:$dagster_port    MLflow http://127.0.0.1:$mlflow_port    logs in $WORLDVLA_HOME/logs    Ctrl-C ends all"
wait -n || true
echo "one of them ended; its log in $WORLDVLA_HOME/logs says why" >&2
exit 1
