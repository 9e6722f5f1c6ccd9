"""Where the hand cannot go, it goes as near as it can.

ManiSkill's controller asks for joints that bring the hand exactly where an action says, and leaves the arm
where it is when there are none. A stretched arm then ignores every action that leads outwards, also the
part of it that it could follow: on PushCube-v1 in seven of ten episodes of a policy. What follows actions in jumps
neither a policy nor a world model can learn, so targets out of reach are approached by damped least squares
(Wampler, IEEE Transactions on Systems, Man, and Cybernetics 16(1), 1986). What ManiSkill solves stays as it is.
"""

from collections.abc import Callable

import numpy as np

DAMPING = 0.01  # square metres (and radians): with less the hand comes nearer and a stretched arm moves faster
ROUNDS = 5


def as_near_as_possible(kinematics) -> Callable:
    """The method `compute_ik` of ManiSkill's `Kinematics` on a processor, answering where that one finds no joints."""
    import torch

    exact, model, hand = kinematics.compute_ik, kinematics.pmodel, kinematics.end_link_idx
    ours, theirs = kinematics.pmodel_controlled_joint_indices.numpy(), kinematics.pmodel_active_joint_indices
    low, high = kinematics.articulation.get_qlimits()[0, theirs].numpy()[ours].astype(np.float64).T

    def compute_ik(pose, q0, **options):
        found = exact(pose=pose, q0=q0, **options)
        if found is not None:
            return found
        joints = q0[0, theirs].numpy().astype(np.float64)
        target = pose.sp.to_transformation_matrix().astype(np.float64)
        for _ in range(ROUNDS):
            model.compute_forward_kinematics(joints)
            error = _twist(model.get_link_pose(hand).to_transformation_matrix().astype(np.float64), target)
            jacobian = model.compute_single_link_local_jacobian(joints, hand)[:, ours]
            step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + DAMPING * np.eye(6), error)
            joints[ours] = np.clip(joints[ours] + step, low, high)
        return torch.tensor(joints[None, ours], dtype=q0.dtype)

    return compute_ik


def _twist(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """[6]: metres and rotation vector, in the axes of pose `here` [4, 4], that lead to pose `there`."""
    rotation = here[:3, :3].T @ there[:3, :3]
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine, cosine = np.linalg.norm(axis) / 2, (np.trace(rotation) - 1) / 2
    turn = axis / 2 * (np.arctan2(sine, cosine) / sine if sine > 1e-9 else 1.0)
    return np.concatenate([here[:3, :3].T @ (there[:3, 3] - here[:3, 3]), turn])
