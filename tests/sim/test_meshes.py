"""Meshes in fewer triangles."""

import numpy as np

from worldvla.sim.meshes import clusters, triangles


def test_vertices_of_a_cell_become_their_mean():
    vertices = np.array([[0, 0, 0], [0.2, 0, 0], [3, 0, 0], [0, 3, 0]])
    mean, cluster = clusters(vertices, 1.0)
    assert np.allclose(mean[cluster], [[0.1, 0, 0], [0.1, 0, 0], [3, 0, 0], [0, 3, 0]])
    assert len(mean) == 3


def test_lines_points_and_second_copies_are_no_triangles():
    faces = np.array([[0, 1, 2], [2, 0, 1], [0, 0, 1], [3, 3, 3], [1, 2, 3]])
    assert triangles(faces).tolist() == [True, False, False, False, True]
