"""Probes choose the policy, let tasks rest, and survive a kill; one of them in the simulator itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.rl.conftest import Line, arrived
from worldvla import campaigns
from worldvla.config import Probes
from worldvla.episodes.frame_bank import FrameBank
from worldvla.policy.sft import ChunkSamples
from worldvla.policy.vla import Policy
from worldvla.rl import grpo, probes
from worldvla.rl.probes import Probe, Probing, Tried, all_rest, on_tuning_seeds, resting, summary, turned_back
from worldvla.rl.training import MEASURED, improve
from worldvla.sim.seed_ranges import EVALUATION, TUNING, TUNING_SEEDS
from worldvla.training.checkpoint import Checkpointer

MAX_STEPS = 6
THRESHOLD = np.full(4, 0.5, np.float32)


def probe(update: int, **successes: int) -> Probe:
    return Probe({task: [seed < count for seed in range(10)] for task, count in successes.items()}, 30, update)


class Simulator:
    """Rates what it is told to, probe after probe, and remembers the weights it saw."""

    def __init__(self, *rates: dict[str, int]):
        self.rates = list(rates)
        self.seen: list[bytes] = []

    def __call__(self, policy: Policy, description: str) -> Tried:
        self.seen.append(policy.to_bytes())
        return probe(0, **self.rates[len(self.seen) - 1])


@pytest.fixture
def both(starts):
    """Two tasks, of each a start with either goal."""
    return replace(starts, tasks=["push", "push", "pull", "pull"], near_failure_share=0.0, kind=["start"] * 4)


@pytest.fixture
def probed(policy, both, rl):
    def train(
        simulator: Simulator,
        updates: int = 6,
        every: int = 2,
        checkpoints=None,
        log=lambda *_: None,
        hold: float = 0.0,
        tasks=both.tasks,
        **more,
    ):
        settings = rl.model_copy(
            update={"updates": updates, "probe": Probes(every=every, per_task=10, hold_weight=hold)}
        )
        arguments = (policy, lambda _: Line(), replace(both, tasks=tasks), settings, THRESHOLD, arrived, MAX_STEPS, 0)
        return improve(*arguments, checkpoints or Checkpointer(None), log, try_out=simulator, **more)

    return train


def test_a_task_rests_while_it_is_worse_than_it_began():
    first, worse, back = probe(0, push=4, pull=5), probe(6, push=6, pull=3), probe(12, push=2, pull=4)
    assert resting([]) == resting([first]) == set()
    assert resting([first, worse]) == {"pull"} and resting([first, worse, back]) == {"push"}
    told = summary([first, worse, back])
    assert [row["resting"] for row in told] == [[], ["pull"], ["push"]]
    assert told[1]["tasks"]["push"]["successes"] == 6 and told[1]["tasks"]["push"]["n"] == 10
    assert told[1]["rate"] == pytest.approx(0.45) and told[1]["update"] == 6 and told[1]["steps"] == 30


def test_a_task_that_nobody_tries_keeps_no_training_from_going_back():
    first, worse = probe(0, push=5, pull=5), probe(6, push=3, pull=2)
    imagined = ["push", "pull", "imported"]
    assert not all_rest([], imagined) and not all_rest([first], imagined) and not all_rest([first, worse], ["imported"])
    assert all_rest([first, worse], imagined) and turned_back([first, worse, first, worse], imagined) == 2
    assert not all_rest([first, probe(6, push=3, pull=5)], imagined)


def test_one_seed_lost_or_as_many_as_won_is_no_loss():
    def of(seeds: str) -> Probe:
        return Probe({"push": [seed == "x" for seed in seeds]}, 30, 0)

    assert not resting([of("xxxxx....."), of("xxxx......")])
    assert resting([of("xxxxx....."), of("xxx.......")]) == {"push"}
    assert not resting([of("xxxxx....."), of("...xxxx...")]), "three lost and two won is within what chance does"
    assert not resting([of("xxxxx....."), of(".....xxxxx")])


def test_the_best_probed_policy_is_kept(probed):
    simulator = Simulator(*({"push": rate, "pull": 5} for rate in (3, 4, 6, 5)))
    result = probed(simulator)
    assert [probe.update for probe in result.probes] == [0, 2, 4, 6] and result.kept == 4
    assert result.policy.to_bytes() == simulator.seen[2] != simulator.seen[3]
    assert len(result.history) == 6 and result.real_steps == 4 * 30


def test_a_policy_that_only_lost_is_given_back_as_it_came(probed, policy):
    before = policy.to_bytes()
    result = probed(
        Simulator({"push": 5, "pull": 5}, {"push": 5, "pull": 4}, {"push": 6, "pull": 4}, {"push": 2, "pull": 4})
    )
    assert result.kept == 0 and result.policy.to_bytes() == before


def test_a_resting_task_is_not_imagined_and_the_others_are_as_often(probed):
    logged: list[dict] = []
    simulator = Simulator(
        {"push": 5, "pull": 5}, {"push": 6, "pull": 3}, {"push": 6, "pull": 5}, {"push": 6, "pull": 5}
    )
    result = probed(simulator, log=lambda _, metrics: logged.append(metrics))
    updates = [metrics for metrics in logged if "rl/loss" in metrics]
    imagined = ["rl/imagined_success/pull" in metrics for metrics in updates]
    assert imagined == [True, True, False, False, True, True]
    assert [row["groups"] for row in result.history] == [4, 4, 2, 2, 4, 4]
    assert [metrics["rl/real_success/push"] for metrics in logged if "rl/real_success" in metrics] == [
        0.5,
        0.6,
        0.6,
        0.6,
    ]


def test_where_every_task_is_worse_the_training_goes_back_and_on_more_slowly(probed, policy, monkeypatch):
    rates: list[float] = []

    def shifted(policy: Policy, optimizer: torch.optim.Optimizer, *_) -> dict[str, float]:
        rates.append(optimizer.param_groups[0]["lr"])
        with torch.no_grad():
            next(policy.parameters()).add_(1.0)
        return dict.fromkeys((*MEASURED, "groups", "groups_kept"), 0.0)

    monkeypatch.setattr("worldvla.rl.training.learn", shifted)
    before = policy.to_bytes()
    simulator = Simulator(
        {"push": 5, "pull": 5}, {"push": 3, "pull": 2}, {"push": 6, "pull": 6}, {"push": 6, "pull": 6}
    )
    result = probed(simulator)
    assert before == simulator.seen[0] != simulator.seen[1], "shifted twice from where it began"
    assert simulator.seen[2] == simulator.seen[1] != simulator.seen[3], "twice again, and from there twice more"
    assert len(result.history) == 6 and result.kept == 4
    assert rates == [rates[0]] * 2 + [rates[0] / 2] * 4


def test_a_killed_training_asks_no_probe_again(probed, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def kill(update: int, metrics: dict) -> None:
        if update == 4 and "rl/loss" in metrics:
            raise Killed

    def kill_at_the_end(*_) -> None:
        raise Killed

    rates = [{"push": 3, "pull": 5}, {"push": 6, "pull": 5}, {"push": 5, "pull": 5}, {"push": 4, "pull": 5}]
    whole = probed(Simulator(*rates))
    with pytest.raises(Killed):
        probed(Simulator(*rates), checkpoints=Checkpointer(tmp_path, 0), log=kill)
    # Saved after three updates: the probes after none and two of them are known, the others are asked for.
    monkeypatch.setattr("worldvla.rl.training.deployed", kill_at_the_end)
    with pytest.raises(Killed):
        probed(Simulator(*rates[2:]), checkpoints=Checkpointer(tmp_path, 3600))
    monkeypatch.undo()
    # The last probe is known, too, however seldom is saved.
    resumed = probed(Simulator(), checkpoints=Checkpointer(tmp_path, 3600))
    assert resumed.probes == whole.probes and resumed.kept == whole.kept == 2
    assert resumed.policy.to_bytes() == whole.policy.to_bytes()


def test_nothing_is_probed_where_nothing_is_asked(probed, policy):
    def never(policy: Policy, description: str) -> Tried:
        raise AssertionError("probed")

    result = probed(never, every=0)
    assert result.probes == [] and result.real_steps == 0 and result.kept == len(result.history) == 6
    assert Probing(None, 2).look(policy, 0) is None and Probing(never, 0).tensors() == {}


def test_the_simulator_is_asked_on_the_same_seeds_each_time():
    config = campaigns.load("test")
    torch.manual_seed(0)
    policy = Policy.create(config.policy, config.scene.chunk, seed=0).eval()
    try_out = on_tuning_seeds(config.scene, 1.0, 2, 1)
    first = try_out(policy, "once")
    assert first == try_out(policy, "again")
    (successes,) = first.successes.values()
    assert list(first.successes) == config.scene.tasks and len(successes) == 2
    assert 0 < first.steps <= 2 * config.scene.max_steps


def test_a_resting_task_is_held_to_how_it_began(probed, policy, both, architecture):
    by_shade = ["push", "pull", "push", "pull"]  # bright starts and dark ones, whose goal is the other way
    bank = FrameBank(
        episode_ids=["bright", "dark"],
        tasks=by_shade[:2],
        instructions=["go", "go"],
        success=np.ones(2, bool),
        images=np.repeat(both.images[:2], 4, axis=0),
        actions=np.zeros((8, 7), np.float32),
        proprio=np.zeros((8, 2), np.float32),
        reward=np.zeros(8, np.float32),
        progress=np.zeros(8, np.float32),
        starts=np.array([0, 4]),
        lengths=np.array([4, 4]),
    )
    samples = ChunkSamples(policy, bank, architecture)
    # From the first update on "pull" rests, and the last policy is the best.
    rates = [{"push": 5, "pull": 5}, *({"push": 6 + probe, "pull": 2} for probe in range(1, 5))]

    def away(hold: float) -> tuple[float, float]:
        result = probed(Simulator(*rates), 4, 1, hold=hold, tasks=by_shade, samples=samples)
        pairs = (one.log_probs(both.images[1:2], ["go"], 1.0) for one in (result.policy, policy))
        return grpo.divergence(*pairs).item(), result.history[-1]["held"]

    free, unheld = away(0.0)
    near, held = away(10.0)
    assert unheld == 0 and 0 < held < 0.1 and near < 0.3 * free


def test_probes_ask_the_seeds_that_they_are_told(monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(probes, "collect", lambda requests, *_: asked.extend(one.seed for one in requests) or [])
    config, policy = campaigns.load("test"), Policy.create(campaigns.load("test").policy, 8, seed=0)
    for first in (0, 3, TUNING_SEEDS - 1):
        on_tuning_seeds(config.scene, 1.0, 3, 1, first)(policy, "")
    assert asked[:6] == list(range(TUNING, TUNING + 6)) and asked[6:] == [EVALUATION - 1, TUNING, TUNING + 1]
