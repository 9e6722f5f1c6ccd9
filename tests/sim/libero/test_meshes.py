"""LIBERO drawn in fewer triangles: the same physics, nearly the same pictures."""

import numpy as np

from worldvla.sim.libero import simulator
from worldvla.sim.libero.simulator import LiberoSimulator


def play() -> tuple[np.ndarray, np.ndarray, int]:
    """States and pictures of the same actions, and the triangles of the model's meshes."""
    libero = LiberoSimulator("libero_goal", "put_the_bowl_on_the_plate")
    images = [libero.reset(7).image]
    states = [libero.state()]
    for action in np.random.default_rng(0).uniform(-1, 1, (8, 7)).astype(np.float32):
        images.append(libero.step(action).observation.image)
        states.append(libero.state())
    triangles = int(libero._model.mesh_facenum.sum())
    libero.close()
    return np.stack(states), np.stack(images).astype(float), triangles


def test_states_are_the_same_to_the_bit_and_pictures_almost(monkeypatch):
    states, images, count = play()
    monkeypatch.setattr(simulator, "coarsen", lambda model: None)
    original_states, original_images, original_count = play()
    assert count < 0.5 * original_count
    assert np.array_equal(states, original_states)
    error = np.mean((images - original_images) ** 2)
    assert 0 < error
    assert 10 * np.log10(255**2 / error) > 33
