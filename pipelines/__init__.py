"""The Dagster code location: definitions, jobs, schedules, and the launcher of single runs."""

import os

# Before torch loads OpenMP: a thread that waits spins a moment, then sleeps. Spinning for long takes the
# processor from the very thread that is waited for as soon as something else runs (a training step took
# 25 times as long); never spinning makes the second core useless to small operations.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
