"""ManiSkill's controller of the hand (`pd_ee_delta_pose`), for one arm and without tensors.

ManiSkill computes a batch of arms in torch, where a batch of one spends its time in calls: half of a step that draws
nothing. Here the same float32 operations are done in the same order on single numbers, so that joints are told the same
to the bit; joints are found by `inverse_kinematics.py`.
"""

from collections.abc import Callable

import numpy as np

from worldvla.sim.inverse_kinematics import damped_least_squares

FRAME = "root_translation:root_aligned_body_rotation"

Quaternion = tuple[np.float32, np.float32, np.float32, np.float32]  # real part first


def single_arm(controller) -> Callable:
    """In place of the method `set_action` of ManiSkill's `PDEEPoseController` on a processor.

    Of the action [1, 6] the first three numbers move the hand and the others turn it, along the axes of the robot's
    base. Raises ValueError for a controller of another frame.
    """
    import sapien
    from mani_skill.utils.geometry.rotation_conversions import euler_angles_to_matrix, matrix_to_quaternion

    if controller.config.frame != FRAME:
        raise ValueError(f"the controller's frame is {controller.config.frame}, not {FRAME}")
    find_joints = damped_least_squares(controller.kinematics)
    to_base = controller.root_link.pose.inv().raw_pose[0].numpy()
    robot, hand = controller.articulation._objs[0], controller.ee_link._objs[0]
    drives = [joint._objs[0] for joint in controller.joints]

    def set_action(action) -> None:
        scaled = controller._preprocess_action(action)
        turn = matrix_to_quaternion(euler_angles_to_matrix(scaled[:, 3:], "XYZ"))[0].numpy()
        position, rotation = _seen_from(to_base, hand.entity_pose)
        target = sapien.Pose(position + scaled[0, :3].numpy(), _upright(_multiply(tuple(turn), rotation)))
        joints = find_joints(robot.get_qpos(), target.to_transformation_matrix())
        for drive, joint in zip(drives, joints.astype(np.float32).tolist(), strict=True):
            drive.set_drive_target(joint)

    return set_action


def _seen_from(base: np.ndarray, pose) -> tuple[np.ndarray, Quaternion]:
    """Position [3] and rotation of a SAPIEN pose after the transformation `base` [7], position and quaternion."""
    turn, (x, y, z) = tuple(base[3:]), pose.p
    carried = _multiply(_multiply(turn, (np.float32(0), x, y, z)), (turn[0], -turn[1], -turn[2], -turn[3]))
    return base[:3] + np.array(carried[1:]), _upright(_multiply(turn, tuple(pose.q)))


def _multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def _upright(quaternion: Quaternion) -> Quaternion:
    """The same rotation, its real part not negative."""
    w, x, y, z = quaternion
    return (-w, -x, -y, -z) if w < 0 else quaternion
