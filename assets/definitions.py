"""Every asset of the loop, in the order of the graph."""

from assets import alignment, episodes, imports, policy, record, rollouts, sans, world_model

ASSETS = [
    *episodes.ASSETS,
    *imports.ASSETS,
    *policy.ASSETS,
    *sans.ASSETS,
    *world_model.ASSETS,
    *alignment.ASSETS,
    *rollouts.ASSETS,
    *record.ASSETS,
]
