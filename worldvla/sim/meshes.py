"""Meshes in no more triangles than a small picture can show.

On a processor a picture's cost is its triangles, and robots and scanned objects come with many to a pixel. Vertices
that share a cell become one (Rossignac and Borrel 1993, "Multi-resolution 3D approximations for rendering complex
scenes"), and with them go the triangles that lie within a cell or two.
"""

import numpy as np


def clusters(vertices: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """The means float [W, 3] of those of `vertices` float [V, 3] that share a cube of side `cell`, and int [V], which
    mean is each vertex's."""
    _, cluster = np.unique(np.round(vertices / cell).astype(int), axis=0, return_inverse=True)
    cluster = cluster.ravel()
    size = np.bincount(cluster)
    mean = np.stack([np.bincount(cluster, vertices[:, axis]) / size for axis in range(3)], axis=1)
    return mean, cluster


def triangles(faces: np.ndarray) -> np.ndarray:
    """bool [F]: which of `faces` int [F, 3] have three corners, each three of them once."""
    corners = np.sort(faces, axis=1)
    _, first = np.unique(corners, axis=0, return_index=True)
    once = np.zeros(len(faces), dtype=bool)
    once[first] = True
    return once & (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2])
