"""What the robot meets: a toy hand goes left or right and closes; it holds something where a square lies."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import torch

from tests.world_model.conftest import toy_architecture
from worldvla.episodes.frame_bank import FrameBank
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.progress import ignore
from worldvla.world_model.contact import MEMBERS, SCENE
from worldvla.world_model.contact_training import rolled_out, train_contact
from worldvla.world_model.embodiment import Kinematics
from worldvla.world_model.embodiment_training import train_kinematics

SIZE = 16
APPROACH, LENGTH = 4, 12
WIDTH_HELD = 0.5
SETTINGS = toy_architecture().embodiment.model_copy(
    update={
        "kinematics_steps": 300,
        "kinematics_learning_rate": 1e-2,
        "contact_steps": 400,
        "contact_learning_rate": 5e-3,
        "horizon": 6,
        "batch_size": 64,
    }
)


def grasps(episodes: int, seed: int) -> FrameBank:
    """Proprioception is place, height and width of the hand; over a square the hand stands higher before it closes."""
    random = np.random.default_rng(seed)
    images, proprio, actions, held = [], [], [], []
    for _ in range(episodes):
        lies, goes = random.choice([-1, 1], 2)
        there = lies == goes
        picture = random.integers(60, 90, (SIZE, SIZE, 3), dtype=np.uint8)
        picture[6:10, slice(2, 6) if lies < 0 else slice(10, 14)] = (220, 30, 30)
        action = np.zeros((LENGTH, 7), np.float32)
        action[:APPROACH, 0] = goes * random.uniform(0.2, 0.3, APPROACH)
        action[:, -1] = np.where(np.arange(LENGTH) < APPROACH, 1, -1)
        place = np.concatenate([[0], action[:-1, 0].cumsum()])
        height = np.where(np.arange(LENGTH) >= APPROACH, 0.2 * there, 0)
        closed = np.maximum(1 - 0.5 * np.maximum(np.arange(LENGTH) - APPROACH, 0), WIDTH_HELD if there else 0)
        images.append(picture)
        held.append(there)
        proprio.append(np.stack([place, height, closed], axis=1).astype(np.float32))
        actions.append(np.concatenate([action[:-1], np.zeros((1, 7), np.float32)]))
    zeros = np.zeros(episodes * LENGTH, np.float32)
    return FrameBank(
        episode_ids=[f"{index:04d}" for index in range(episodes)],
        tasks=["toy"] * episodes,
        instructions=["hold the square"] * episodes,
        success=np.array(held),
        images=np.repeat(np.stack(images), LENGTH, axis=0),
        actions=np.concatenate(actions),
        proprio=np.concatenate(proprio),
        reward=zeros,
        progress=zeros,
        starts=np.arange(episodes) * LENGTH,
        lengths=np.full(episodes, LENGTH),
    )


def trained(bank: FrameBank, **steps: int) -> Kinematics:
    settings = SETTINGS.model_copy(update=steps)
    torch.manual_seed(0)
    kinematics = Kinematics(3, 7, SIZE, 1)
    train_kinematics(kinematics, bank, settings, 0.9, 0, Checkpointer(None), ignore)
    with torch.no_grad():
        keypoints = kinematics.contact.sight(torch.from_numpy(bank.images[bank.starts]))
    train_contact(kinematics, bank, keypoints, settings, 0.9, 0, Checkpointer(None), ignore)
    return kinematics.eval()


def held(kinematics: Kinematics, bank: FrameBank) -> np.ndarray:
    """bool [E]: whether the fingers end up apart, rolled out from the first frames."""
    with torch.no_grad():
        scenes = kinematics.contact.look(torch.from_numpy(bank.images[bank.starts]))
    lasts = bank.starts + bank.lengths - 1
    return rolled_out(kinematics, bank, bank.proprio, scenes)[lasts, 2] > WIDTH_HELD / 2


def test_the_picture_tells_whether_fingers_will_hold_something():
    kinematics, unseen = trained(grasps(48, 0)), grasps(40, 1)
    truth = unseen.proprio[unseen.starts + LENGTH - 1, 2] > WIDTH_HELD / 2
    assert 0.3 < truth.mean() < 0.7
    assert (held(kinematics, unseen) == truth).mean() > 0.9
    alone = rolled_out(kinematics, unseen, unseen.proprio)[unseen.starts + LENGTH - 1, 2] > WIDTH_HELD / 2
    assert (alone == truth).mean() < 0.8, "the kinematics alone cannot know"


def test_several_networks_learn_apart_and_their_mean_is_told():
    contact = trained(grasps(12, 0), kinematics_steps=5, contact_steps=20).contact
    normalized, action, scene, misread = (torch.randn(6, size) for size in (3, 7, SCENE, 3))
    with torch.no_grad():
        far = contact.grasp_points.away(normalized, points := contact.grasp_points(scene))
        words = torch.stack([member(normalized, action, scene, far) for member in contact.members])
        torch.testing.assert_close(contact.within(scene)(normalized, action), words.mean(0))
        apart = contact.apart_within(scene, misread)(normalized - misread, action)
        torch.testing.assert_close(contact.grasp_points.away(normalized - misread + misread, points), far)
    assert all((one - other).abs().max() > 1e-3 for one, other in combinations(words, 2))
    for member, rows in enumerate(torch.arange(6).chunk(MEMBERS)):
        torch.testing.assert_close(apart[rows], words[member][rows])


def test_episodes_in_which_no_finger_closes_and_unknown_poses_do_no_harm():
    bank = grasps(6, 0)
    actions, proprio = bank.actions.copy(), bank.proprio.copy()
    actions[:, -1] = 1
    proprio[bank.frames_of(0)] = np.nan
    kinematics = trained(replace(bank, actions=actions, proprio=proprio), kinematics_steps=5, contact_steps=5)
    assert all(tensor.isfinite().all() for tensor in kinematics.state_dict().values())
