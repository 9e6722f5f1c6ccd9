"""The Dagster code location: definitions, jobs, schedules, and the launcher of single runs."""

import os

# Before torch loads OpenMP: threads that spin while they wait take the processor from the very
# process they wait for. Beside a busy neighbour a training step took 25 times as long spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
