"""Inverse kinematics without cliffs: joints that bring the hand towards where an action says.

On a processor ManiSkill's controller looks for joints that reach the target exactly. For a stretched arm these lie
far away, and where there are none the arm stands still: an action does one thing here and another a millimetre on.
What follows actions in jumps neither a policy nor a world model can learn (docs/experiments.md). One step of damped
least squares (Wampler, IEEE Transactions on Systems, Man, and Cybernetics 16(1), 1986) answers smoothly everywhere;
out of reach it goes as near as it can. ManiSkill's controller on a GPU takes such a step, too, with less damping.
"""

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

# Square metres (and radians). The less, the closer an action is followed, and the faster a stretched arm moves.
DAMPING = 0.005


def damped_least_squares(kinematics) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function of the robot's joints [J] and of the pose [4, 4], seen from its base, that the hand should have.

    It says where to drive the arm's joints: float64 [7], within their limits. `kinematics` is ManiSkill's, of a
    processor.
    """
    model, hand = kinematics.pmodel, kinematics.end_link_idx
    ours, theirs = kinematics.pmodel_controlled_joint_indices.numpy(), kinematics.pmodel_active_joint_indices.numpy()
    low, high = kinematics.articulation.get_qlimits()[0].numpy()[theirs][ours].astype(np.float64).T

    def find_joints(joints: np.ndarray, there: np.ndarray) -> np.ndarray:
        joints = joints[theirs].astype(np.float64)
        model.compute_forward_kinematics(joints)
        here = model.get_link_pose(hand).to_transformation_matrix().astype(np.float64)
        error = _twist(here, there.astype(np.float64))
        jacobian = model.compute_single_link_local_jacobian(joints, hand)[:, ours]
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + DAMPING * np.eye(6), error)
        return np.clip(joints[ours] + step, low, high)

    return find_joints


def _twist(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """[6]: metres and rotation vector, in the axes of pose `here` [4, 4], that lead to pose `there`."""
    turn = Rotation.from_matrix(here[:3, :3].T @ there[:3, :3]).as_rotvec()
    return np.concatenate([here[:3, :3].T @ (there[:3, 3] - here[:3, 3]), turn])
