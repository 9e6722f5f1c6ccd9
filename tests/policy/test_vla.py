import numpy as np
import pytest
import torch

from tests.policy.conftest import CHUNK
from worldvla.config import ActionNoise
from worldvla.episodes.images import resize
from worldvla.policy.discretization import to_actions
from worldvla.policy.noise import Draws
from worldvla.policy.vla import Policy
from worldvla.training.device import generator

INSTRUCTIONS = ["push the cube", "pull it", "stack the red cube on the green one"]


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)


def places(batch: int) -> torch.Tensor:
    return Draws(ActionNoise.one_by_one(1.0), batch, CHUNK, generator(0)).next()


def hidden_states(policy: Policy, sequence: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return policy.language(inputs_embeds=sequence, attention_mask=mask).last_hidden_state


def test_attention_is_bidirectional(policy, images, monkeypatch):
    """The mask that `forward` hands over lets the first token depend on the last; a causal one does not."""
    given = {}
    language = policy.language.forward

    def watch(**arguments):
        given.update(arguments)
        return language(**arguments)

    monkeypatch.setattr(policy.language, "forward", watch)
    with torch.no_grad():
        policy(policy.pixels(images), *policy.text(INSTRUCTIONS))
        longest = 2  # the third instruction fills its row: its last token is no padding
        sequence, mask = given["inputs_embeds"].float(), given["attention_mask"].float()
        changed = sequence.clone()
        changed[longest, -1] += 1.0
        first = language(inputs_embeds=sequence, attention_mask=mask).last_hidden_state[longest, 0]
        moved = language(inputs_embeds=changed, attention_mask=mask).last_hidden_state[longest, 0]
        causal_first = language(inputs_embeds=sequence).last_hidden_state[longest, 0]
        causal_moved = language(inputs_embeds=changed).last_hidden_state[longest, 0]
    assert not torch.allclose(first, moved, atol=1e-4)
    assert torch.equal(causal_first, causal_moved)


def test_every_action_depends_on_image_and_instruction(policy, images):
    def logits(images, instructions):
        with torch.no_grad():
            return policy(policy.pixels(images), *policy.text(instructions))

    one = logits(images[:1], ["push"])
    assert one.shape == (1, policy.chunk, 7, policy.bins)
    for other in (logits(images[1:2], ["push"]), logits(images[:1], ["pull"])):
        assert ((one - other).abs().amax(dim=(0, 2, 3)) > 1e-3).all()


def test_padding_changes_nothing(policy, images):
    with torch.no_grad():
        together = policy(policy.pixels(images), *policy.text(INSTRUCTIONS))
        alone = policy(policy.pixels(images[1:2]), *policy.text(INSTRUCTIONS[1:2]))
    torch.testing.assert_close(together[1:2], alone, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.6])
def test_log_prob_agrees_with_act(policy, images, temperature):
    chunk = policy.act(images, INSTRUCTIONS, temperature, places(len(images)))
    log_prob, entropy = policy.log_prob(images, INSTRUCTIONS, chunk.tokens, temperature)
    torch.testing.assert_close(log_prob.cpu(), chunk.log_prob, atol=1e-4, rtol=1e-4)
    assert torch.equal(chunk.actions, to_actions(chunk.tokens, policy.bins))
    assert (entropy > 0).all() and log_prob.requires_grad


def test_sampling_follows_the_distribution_and_the_generator(policy, images):
    many = np.repeat(images[:1], 400, axis=0)
    chunk = policy.act(many, ["push"] * 400, 1.0, places(400))
    again = policy.act(many, ["push"] * 400, 1.0, places(400))
    assert torch.equal(chunk.tokens, again.tokens)
    with torch.no_grad():
        expected = policy(policy.pixels(many[:1]), *policy.text(["push"]))[0].softmax(-1).cpu()
    measured = torch.nn.functional.one_hot(chunk.tokens, policy.bins).float().mean(0)
    assert (measured - expected).abs().max() < 0.12


def test_what_is_drawn_needs_places(policy, images):
    with pytest.raises(ValueError, match="at temperature 0.5 actions are drawn"):
        policy.act(images, INSTRUCTIONS, 0.5)


def test_temperature_zero_is_the_most_likely_bin(policy, images):
    chunk = policy.act(images, INSTRUCTIONS, 0.0)
    with torch.no_grad():
        logits = policy(policy.pixels(images), *policy.text(INSTRUCTIONS)).cpu()
    assert torch.equal(chunk.tokens, logits.argmax(-1)) and (chunk.log_prob == 0).all()


def test_weights_survive_bytes_and_images_of_any_size_pass_one_filter(policy, images):
    copy = Policy.from_bytes(policy.config, policy.to_bytes())
    large = np.random.default_rng(2).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    small = np.stack([resize(image, 16) for image in large])
    ours = policy.act(large, ["push"] * 2, 1.0, places(2))
    theirs = copy.act(small, ["push"] * 2, 1.0, places(2))
    assert torch.equal(ours.tokens, theirs.tokens) and copy.to_bytes() == policy.to_bytes()


def test_creation_leaves_the_global_generator_alone(architecture):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = Policy.create(architecture, 4, seed=1)
    assert torch.rand(1) == expected
    assert first.to_bytes() == Policy.create(architecture, 4, seed=1).to_bytes()
    assert first.to_bytes() != Policy.create(architecture, 4, seed=2).to_bytes()


def test_sight_finds_the_keypoints_that_the_policy_acts_on(policy, images):
    seen = []
    policy.keypoints.projector.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        policy(policy.pixels(images), *policy.text(INSTRUCTIONS))
        found = policy.sight()(torch.from_numpy(images))
    # The policy computes in half precision where the machine is made for it.
    torch.testing.assert_close(found, seen[0].float(), atol=0.05, rtol=0)
    assert found.std(0).max() > 0


def test_sight_sees_pictures_of_another_size_at_its_own(policy, images):
    sight, larger = policy.sight(), images.repeat(2, axis=1).repeat(2, axis=2)
    with torch.no_grad():
        found, expected = sight(torch.from_numpy(larger)), sight(torch.from_numpy(images))
    torch.testing.assert_close(found, expected)
