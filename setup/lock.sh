#!/usr/bin/env bash
# Writes requirements.lock: the newest versions that pyproject.toml allows, resolved in a fresh
# environment. Packages that only a CUDA build of torch pulls in are left unpinned, and torch's
# local version tag is cut off, so that one lock serves machines with and without a GPU.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
mkdir -p var
log=$root/var/lock.log
source setup/shell.sh
source setup/python.sh

python=$(find_python) || die "Python 3.11 was not found"
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT

logged "Making an environment" "$python" -m venv "$environment"
logged "Resolving pyproject.toml" "$environment/bin/python" -m pip install --disable-pip-version-check --progress-bar off '.[dev]'
frozen=$("$environment/bin/python" -m pip freeze --all --exclude worldvla --exclude pip --exclude wheel)
if grep -q '^torchvision==' <<<"$frozen"; then
    die "torchvision was pulled in; beside a CPU build of torch it breaks transformers, diffusers and torchmetrics"
fi
{
    echo "# Constraints: exact versions of everything that is installed. Written by \`make lock\`, not by hand."
    grep -vE '^(triton|cuda-[a-z]+|nvidia-[a-z0-9-]+-cu[0-9]+)==' <<<"$frozen" | sed 's/+[a-z0-9.]*$//'
} >requirements.lock
say "requirements.lock: $(grep -c == requirements.lock) packages"
