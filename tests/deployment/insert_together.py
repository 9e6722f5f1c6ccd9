"""Inserts the same and its own episodes into a lake: `python insert_together.py LAKE NAME ROUNDS`; waits for a line."""

import sys

from worldvla.lake.commit import Commit
from worldvla.lake.store import Lake

address, name, rounds = sys.argv[1:4]
lake = Lake(address)
lake.open("retractions")
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(rounds)):
    ids = [f"shared-{number}-{item}" for item in range(3)] + [f"{name}-{number}"]
    rows = [{"episode_id": episode, "reason": name, "retracted_at": None} for episode in ids]
    lake.insert("retractions", rows, Commit(run_id=name, asset="test"))
