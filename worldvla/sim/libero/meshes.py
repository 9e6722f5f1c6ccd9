"""LIBERO's meshes in no more triangles than its pictures can show.

Most of a scene's 200,000 triangles are the robot's and its stand's, and the table's reflection draws all of them
twice. Only what is drawn changes: meshes that anything collides with stay as they are.
"""

import numpy as np

from worldvla.sim.meshes import clusters, triangles

CELL = 0.008  # metres; a pixel of the suites' cameras covers about as much
MANY = 4000  # triangles; objects of fewer are small or thin, and cost little


def coarsen(model) -> None:
    """Rewrites the meshes of a compiled MuJoCo model in place; each corner keeps its normal and its texture."""
    for mesh in np.flatnonzero(_only_drawn(model) & (model.mesh_facenum >= MANY)):
        vertices = _part(model.mesh_vertadr[mesh], model.mesh_vertnum[mesh])
        faces = _part(model.mesh_faceadr[mesh], model.mesh_facenum[mesh])
        mean, cluster = clusters(model.mesh_vert[vertices], CELL)
        kept = triangles(cluster[model.mesh_face[faces]])
        model.mesh_vert[vertices] = mean[cluster]
        model.mesh_facenum[mesh] = kept.sum()
        for corners in (model.mesh_face, model.mesh_facenormal, model.mesh_facetexcoord):
            corners[faces.start : faces.start + kept.sum()] = corners[faces][kept]


def _only_drawn(model) -> np.ndarray:
    """bool [M]: the meshes of which no body that collides is made."""
    import mujoco

    shapes = (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH) & ((model.geom_contype | model.geom_conaffinity) != 0)
    only_drawn = np.ones(model.nmesh, dtype=bool)
    only_drawn[model.geom_dataid[shapes]] = False
    return only_drawn


def _part(start: int, count: int) -> slice:
    return slice(int(start), int(start + count))
