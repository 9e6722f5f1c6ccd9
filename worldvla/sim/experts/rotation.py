"""Rotation matrices of poses and about axes."""

import numpy as np


def rotation_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """[3, 3]; `axis` has length 1, `angle` in radians (Rodrigues' formula)."""
    cross = np.cross(np.eye(3), np.asarray(axis, dtype=np.float64))
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation_of(pose: np.ndarray) -> np.ndarray:
    """[3, 3] of a pose [7] (x y z, quaternion w x y z)."""
    w, v = pose[3], pose[4:]
    cross = np.cross(np.eye(3), v)
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross
