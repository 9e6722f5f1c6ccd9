"""Every asset of the loop, in the order of the graph."""

from assets import alignment, back_edges, episodes, imports, policy, record, rollouts, sans, world_model

ASSETS = [
    *episodes.ASSETS,
    *imports.ASSETS,
    *policy.ASSETS,
    *back_edges.ASSETS,
    *sans.ASSETS,
    *world_model.ASSETS,
    *alignment.ASSETS,
    *rollouts.ASSETS,
    *record.ASSETS,
]
