"""The arm that is drawn in fewer triangles: the same physics, nearly the same pictures."""

from dataclasses import replace

import numpy as np

from worldvla.sim import arm
from worldvla.sim.maniskill import ManiSkillSimulator


def triangles(simulator: ManiSkillSimulator) -> int:
    from sapien.render import RenderBodyComponent

    links = [link._objs[0].entity for link in simulator._env.agent.robot.links]
    bodies = [link.find_component_by_type(RenderBodyComponent) for link in links]
    return sum(len(part.triangles) for body in bodies if body for shape in body.render_shapes for part in shape.parts)


def play() -> tuple[np.ndarray, np.ndarray, int]:
    """States and pictures of the same actions, and of how many triangles the arm is."""
    simulator = ManiSkillSimulator("LiftPegUpright-v1")
    images = [simulator.reset(7).image]
    states = [simulator.state()]
    for action in np.random.default_rng(0).uniform(-1, 1, (24, 7)).astype(np.float32):
        images.append(simulator.step(action).observation.image)
        states.append(simulator.state())
    return np.stack(states), np.stack(images).astype(float), triangles(simulator)


def test_states_are_the_same_to_the_bit_and_pictures_almost(monkeypatch):
    states, images, count = play()
    from mani_skill.agents.registration import REGISTERED_AGENTS
    from mani_skill.agents.robots import Panda

    monkeypatch.setattr(arm, "register", lambda: None)
    monkeypatch.setitem(REGISTERED_AGENTS, "panda", replace(REGISTERED_AGENTS["panda"], agent_cls=Panda))
    original_states, original_images, original_count = play()
    assert count < 0.4 * original_count
    assert np.array_equal(states, original_states)
    error = np.mean((images - original_images) ** 2)
    assert 0 < error
    assert 10 * np.log10(255**2 / error) > 30
