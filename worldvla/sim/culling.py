"""Leaves out of a picture the robot's links that the camera cannot see.

SAPIEN draws every body, and on a processor the picture's cost is its triangles: those of
the arm, most of which lie outside the frame. The picture is the same to the bit.
"""

import math

import numpy as np

MARGIN = 0.01  # metres


class Culling:
    """Bounding spheres of the links, tested against the four sides of a square view of `fov` radians."""

    def __init__(self, links: list, camera_pose, fov: float) -> None:
        """`links` are SAPIEN entities, `camera_pose` a SAPIEN pose (x forward, y left, z up)."""
        import sapien

        self._world_to_camera = np.linalg.inv(camera_pose.to_transformation_matrix())
        half = fov / 2
        # Normals that point out of the view: a point p is outside a side when p @ normal > 0.
        self._normals = np.array(
            [
                [-math.sin(half), math.cos(half), 0],
                [-math.sin(half), -math.cos(half), 0],
                [-math.sin(half), 0, math.cos(half)],
                [-math.sin(half), 0, -math.cos(half)],
            ]
        )
        self._spheres = []
        for link in links:
            body = link.find_component_by_type(sapien.render.RenderBodyComponent)
            if body is None:
                continue
            low, high = body.compute_global_aabb_tight()
            centre = link.pose.inv().to_transformation_matrix() @ np.append((low + high) / 2, 1.0)
            self._spheres.append((link, body, centre, float(np.linalg.norm(high - low)) / 2 + MARGIN))

    def __call__(self) -> None:
        """Shows the links that may be in view and hides the others, at the poses they have now."""
        for link, body, centre, radius in self._spheres:
            seen = self._world_to_camera @ link.pose.to_transformation_matrix() @ centre
            visible = bool((self._normals @ seen[:3] <= radius).all())
            if visible != body.is_enabled:
                body.enable() if visible else body.disable()
