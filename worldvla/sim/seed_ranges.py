"""Which seeds serve which purpose: ranges that never meet. See `worldvla.sim.seeds`."""

DEMONSTRATION = 0
EXPLORATION = 100_000
COLLECTION = 200_000
COLLECTION_STRIDE = 10_000
TUNING = 800_000
EVALUATION = 900_000
TUNING_SEEDS = EVALUATION - TUNING
BEYOND = 1_000_000  # where collection goes on once it has reached TUNING
