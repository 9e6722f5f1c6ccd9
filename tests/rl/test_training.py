from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.rl.conftest import CHUNK, SIZE, Line, arrived
from worldvla.config import ActionNoise
from worldvla.episodes.frame_bank import FrameBank
from worldvla.errors import UserError
from worldvla.policy.sft import ChunkSamples
from worldvla.policy.vla import Policy
from worldvla.rl import grpo
from worldvla.rl.exploitation import WINDOW
from worldvla.rl.imagined_rollouts import JudgedDynamics, imagine
from worldvla.rl.training import improve, learn
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.device import generator

MAX_STEPS = 4
ALONE = ActionNoise.one_by_one(1.0)
THRESHOLD = np.full(4, 0.5, np.float32)


def roll(policy, starts, world=None, noise=ALONE):
    drawn = np.arange(len(starts))
    return imagine(policy, world or Line(), starts, drawn, 8, MAX_STEPS, noise, THRESHOLD, arrived, generator(0))


def test_rollouts_end_at_success_or_at_the_last_step(policy, starts):
    world = Line()
    rollouts = roll(policy, starts, world)
    assert rollouts.returns.shape == (4, 8) and 0 < rollouts.returns.mean() < 1
    returns = rollouts.returns.flatten()
    for trajectory in range(32):
        mine = rollouts.trajectory == trajectory
        length = int(rollouts.valid_length[trajectory])
        horizon = MAX_STEPS - starts.step[rollouts.starts[trajectory // 8]]
        assert rollouts.first_step[mine].tolist() == list(range(0, length, CHUNK))
        assert length <= horizon and (returns[trajectory] == 1 or length == horizon)
    assert world.imagined_steps == len(rollouts.tokens) * CHUNK
    weight = grpo.step_weights(rollouts.valid_length[rollouts.trajectory], rollouts.first_step, CHUNK)
    assert weight.sum().item() == pytest.approx(32, rel=1e-5)


def test_the_judge_watches_and_may_give_the_reward(policy, starts):
    # A point that has turned back by the end of its chunk succeeded, and the judge looks at chunk ends alone.
    rollouts = roll(policy, starts)
    assert 0 < rollouts.shown.sum() <= rollouts.returns.sum()
    judged = roll(policy, starts, JudgedDynamics(Line(), arrived))
    assert torch.equal(judged.returns, rollouts.returns)


def test_head_and_judge_may_have_to_agree(policy, starts):
    looked_at = []

    def bright(images: np.ndarray) -> np.ndarray:
        looked_at.append(len(images))
        return (images.mean((1, 2, 3)) > 127).astype(np.float32)

    rollouts = roll(policy, starts)
    agreed = roll(policy, starts, JudgedDynamics(Line(), bright, agreed=0.5))
    # What the reward head tells as a failure nobody need look at.
    assert rollouts.returns.sum() <= sum(looked_at) < len(rollouts.tokens)
    shows = torch.from_numpy(bright(starts.images[starts.anchor[rollouts.starts]]) > 0)
    assert shows.any() and not shows.all()
    assert torch.equal(agreed.returns[shows], rollouts.returns[shows]) and rollouts.returns[~shows].any()
    assert not agreed.returns[~shows].any()


def test_log_probs_of_rollouts_are_those_of_the_policy(policy, starts):
    rollouts = roll(policy, starts)
    log_prob, _ = policy.log_prob(rollouts.images, rollouts.instructions, rollouts.tokens, 1.0)
    torch.testing.assert_close(log_prob.cpu(), rollouts.log_prob, atol=1e-4, rtol=1e-4)


def test_noise_in_concert_leaves_each_action_its_probability_and_leads_further(policy, starts):
    def ways(noise: ActionNoise) -> torch.Tensor:
        rollouts = roll(policy, starts, noise=noise)
        log_prob, _ = policy.log_prob(rollouts.images, rollouts.instructions, rollouts.tokens, 1.0)
        torch.testing.assert_close(log_prob.cpu(), rollouts.log_prob, atol=1e-4, rtol=1e-4)
        return rollouts.tokens[rollouts.first_step == 0].float().mean(1)

    together = ActionNoise(temperature=1.0, coherence=0.9, persistence=0.9)
    assert (ways(together).std(0) > 1.15 * ways(ALONE).std(0)).float().mean() > 0.7


def test_groups_that_are_alike_teach_nothing(policy, starts, rl):
    rollouts = roll(policy, starts)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2, weight_decay=0.0)
    before = policy.to_bytes()
    uniform = {"returns": torch.ones_like(rollouts.returns)}
    metrics = learn(policy, optimizer, type(rollouts)(**(vars(rollouts) | uniform)), rl, generator(0))
    assert metrics["groups_kept"] == 0 and policy.to_bytes() == before
    assert learn(policy, optimizer, rollouts, rl, generator(0))["groups_kept"] > 0
    assert policy.to_bytes() != before


def test_success_rises_in_a_world_with_a_rule(policy, starts, rl):
    before = policy.to_bytes()
    result = improve(policy, lambda update: Line(), starts, rl, THRESHOLD, arrived, MAX_STEPS, 0, Checkpointer(None))
    success = [row["imagined_success"] for row in result.history]
    assert np.mean(success[:2]) < 0.6 and np.mean(success[-3:]) > 0.9
    assert policy.to_bytes() == before, "the policy given is left as it is"
    assert result.real_steps == 0 and len(result.history) == rl.updates
    exploring = sum(row["imagined_steps"] for row in result.history)
    assert result.imagined_steps == exploring + result.base.imagined_steps + result.new.imagined_steps > exploring
    assert result.base.succeeded.mean() < 0.6 and result.new.succeeded.mean() > 0.9
    assert len(result.base.succeeded) == len(result.new.shown) == rl.groups * rl.group_size


def test_what_is_logged_tells_tasks_apart(policy, starts, rl):
    both = replace(starts, tasks=["push", "pull", "push", "pull"])
    logged = {}
    arguments = (both, rl.model_copy(update={"updates": 1}), THRESHOLD, arrived, MAX_STEPS, 0, Checkpointer(None))
    improve(policy, lambda update: Line(), *arguments, lambda update, metrics: logged.update(metrics))
    shares = [logged[f"rl/imagined_success/{task}"] for task in ("pull", "push")]
    drawn = both.draw(rl.groups, generator(0, "rl", "rollouts", 0))
    pull = np.mean([both.tasks[row] == "pull" for row in drawn])
    assert pull * shares[0] + (1 - pull) * shares[1] == pytest.approx(logged["rl/imagined_success"])


def test_successes_are_cloned_beside(policy, starts, rl, architecture):
    # The rule of `Line` speaks of the first dimension of an action alone; this success moves the others up, too.
    bank = FrameBank(
        episode_ids=["one"],
        tasks=["line"],
        instructions=["go"],
        success=np.array([True]),
        images=np.full((4, SIZE, SIZE, 3), 227, np.uint8),
        actions=np.ones((4, 7), np.float32),
        proprio=np.zeros((4, 2), np.float32),
        reward=np.zeros(4, np.float32),
        progress=np.zeros(4, np.float32),
        starts=np.array([0]),
        lengths=np.array([4]),
    )
    rl = rl.model_copy(update={"cloning_weight": 0.3})
    arguments = (policy, lambda update: Line(), starts, rl, THRESHOLD, arrived, MAX_STEPS, 0, Checkpointer(None))

    def up(policy: Policy) -> float:
        return policy.act(bank.images[:1], ["go"], 0.0).actions[0, :, 1:].mean().item()

    alone, beside = improve(*arguments), improve(*arguments, samples=ChunkSamples(policy, bank, architecture))
    assert up(alone.policy) < 0.5 < 0.9 < up(beside.policy)
    assert np.mean([row["imagined_success"] for row in beside.history[-3:]]) > 0.9
    assert beside.history[-1]["cloning_loss"] < 0.5 * beside.history[0]["cloning_loss"]


def test_frozen_encoders_stay_and_the_rest_learns(policy, starts, rl):
    frozen = rl.model_copy(update={"freeze_encoders": True})
    arguments = (policy, lambda _: Line(), starts, frozen, THRESHOLD, arrived, MAX_STEPS, 0)
    result = improve(*arguments, Checkpointer(None))
    before, after = policy.state_dict(), result.policy.state_dict()
    parts = ("stem.", "vision.", "projector.", "text_projector.")
    moved = {name for name, weights in after.items() if not torch.equal(weights, before[name])}
    assert moved and not any(name.startswith(parts) for name in moved)
    assert {"queries", "head.weight"} <= moved
    assert result.new.succeeded.mean() > result.base.succeeded.mean() + 0.3
    assert all(weights.requires_grad for weights in policy.parameters()), "the policy given is left as it is"


def test_the_base_policy_is_kept_near(policy, starts, rl):
    def trained(weight: float):
        heavy = rl.model_copy(update={"kl_weight": weight})
        return improve(policy, lambda _: Line(), starts, heavy, THRESHOLD, arrived, MAX_STEPS, 0, Checkpointer(None))

    def away(other: Policy) -> float:
        images = roll(policy, starts).images
        both = (one.log_probs(images, ["go"] * len(images), 1.0) for one in (other, policy))
        return grpo.divergence(*both).item()

    before = policy.to_bytes()
    free, near = trained(0.0), trained(10.0)
    assert near.history[-1]["kl"] == pytest.approx(away(near.policy), abs=0.05)
    assert 0 < away(near.policy) < 0.2 * away(free.policy)
    assert policy.to_bytes() == before, "the policy given is left as it is"


def test_a_killed_training_resumes_to_the_same_bytes(policy, starts, rl, tmp_path):
    class Killed(Exception):
        pass

    def kill(update: int, _) -> None:
        if update == 3:
            raise Killed

    rl = rl.model_copy(update={"updates": 5, "epochs": 2})
    arguments = (policy, lambda update: Line(), starts, rl, THRESHOLD, arrived, MAX_STEPS, 7)
    whole = improve(*arguments, Checkpointer(None))
    with pytest.raises(Killed):
        improve(*arguments, Checkpointer(tmp_path, 0), kill)
    resumed = improve(*arguments, Checkpointer(tmp_path, 0))
    assert resumed.policy.to_bytes() == whole.policy.to_bytes()
    assert resumed.imagined_steps == whole.imagined_steps

    def told(result):
        return [{name: value for name, value in row.items() if "seconds" not in name} for row in result.history]

    assert told(resumed) == told(whole)


def test_training_stops_where_the_judge_sees_none_of_the_success(policy, starts, rl):
    def blind(images: np.ndarray) -> np.ndarray:
        return np.zeros(len(images), np.float32)

    def trained(judge, rl):
        return improve(policy, lambda update: Line(), starts, rl, THRESHOLD, judge, MAX_STEPS, 0, Checkpointer(None))

    watched, exploited = trained(arrived, rl), trained(blind, rl)
    assert watched.stopped is False and len(watched.history) == rl.updates
    assert exploited.stopped is True and 2 * WINDOW <= len(exploited.history) < rl.updates
    # Who gives the reward is no witness of what it rewards.
    rewarding = trained(blind, rl.model_copy(update={"reward": "judge"}))
    assert rewarding.stopped is None and len(rewarding.history) == rl.updates


def test_a_training_that_diverges_is_refused(policy, starts, rl):
    wild = rl.model_copy(update={"learning_rate": 1e36, "minibatch": 10**6})
    with pytest.raises(UserError, match="rl: the training diverged: at step 2 .*lower rl.learning_rate"):
        improve(policy, lambda _: Line(), starts, wild, THRESHOLD, arrived, MAX_STEPS, 0, Checkpointer(None))
