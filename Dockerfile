# One image for Dagster's code location, web server and daemon, and for MLflow's server.
# NOT RUN: no container engine was at hand where this was written. docs/deployment.md says what was run.
FROM debian:12-slim

# Mesa from backports renders the simulator without a GPU; setup/system.sh finds out and installs it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates make python3.11-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/worldvla
COPY . .
# What a deployment needs besides the lock: deploy/helm/values.yaml asks for dagster-k8s.
ARG BESIDES=""
RUN make setup && { [ -z "$BESIDES" ] || .venv/bin/python -m pip install --constraint requirements.lock $BESIDES; } && rm -rf /var/lib/apt/lists/* var \
    && useradd --create-home worldvla && install -d -o worldvla /data
USER worldvla
ENV PATH=/opt/worldvla/.venv/bin:$PATH WORLDVLA_HOME=/data
VOLUME /data
CMD ["worldvla", "--help"]
