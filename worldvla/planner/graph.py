"""The asset graph: what there is, what it reads, and the two edges that lead back.

`assets/` builds its Dagster assets from these nodes, the planner compares against them,
so both always speak of the same graph. Raise a node's `code_version` when a change to
the code behind it may change its content. What is recorded is recognized by its origin: where a
simulator, a policy or a replay acts otherwise, raise the suite's, the acting or the open-loop
version instead, which is part of both; where an expert does, its version as well, or the
episodes of before are taken again.
"""

from dataclasses import dataclass
from typing import Literal

from worldvla.policy.actor import ACTING_VERSION
from worldvla.quality.rules import RULES_VERSION
from worldvla.sim.open_loop import OPEN_LOOP_VERSION

# Recording judges every episode by the quality rules: another version of them may change who is a member.
_RECORDED = f"3+rules.{RULES_VERSION}"
# Beside the settings that a node reads: another version of the campaign's suite makes other episodes of the same seeds.
SUITE_VERSION = "suite_version"


def _since(first: str, **versions: int) -> str:
    """A code version that also names those of `versions` which are no longer the first."""
    return first + "".join(f"+{name}.{version}" for name, version in versions.items() if version > 1)


_AVERAGED = "world_model.training.ema_decay"  # of all of a world model's weights

Scope = Literal["campaign", "iteration"]


@dataclass(frozen=True)
class Node:
    """One asset.

    `scope` says whether it is made once a campaign or once an iteration; `reads` names the
    sections of the campaign's configuration that shape its content, or parts of one, as
    `world_model.autoencoder`, and `SUITE_VERSION`; `pool` is
    the Dagster pool that bounds how many run at once. `holds_episodes` marks assets whose
    content is a set of episodes. `feedback_from` marks a back edge: in iteration t the
    node stands for what that asset published in all iterations before t. `varies_by_iteration`
    marks content that depends on the iteration's number besides its parents: collection goes
    to new seeds in each. `follows_imports` marks content that also depends on what was imported so far under the
    names that the campaign lists. `leaves_out` marks content that also depends on `curation` where that excludes
    labels: SANS holds them all the same, and what learns from its training split leaves them out.
    """

    name: str
    scope: Scope
    parents: tuple[str, ...]
    code_version: str
    reads: tuple[str, ...] = ()
    pool: str | None = None
    holds_episodes: bool = False
    feedback_from: str | None = None
    varies_by_iteration: bool = False
    follows_imports: bool = False
    leaves_out: bool = False


NODES: tuple[Node, ...] = (
    Node("demonstrations", "campaign", (), _RECORDED, ("scene", SUITE_VERSION, "demonstrations"), "simulator", True),
    Node(
        "perturbed_demonstrations", "campaign", (), _RECORDED, ("scene", SUITE_VERSION, "perturbed"), "simulator", True
    ),
    Node(
        "imported_episodes",
        "campaign",
        (),
        _RECORDED,
        ("scene", SUITE_VERSION, "imports"),
        holds_episodes=True,
        follows_imports=True,
    ),
    Node(
        "imported_demonstrations",
        "campaign",
        ("imported_episodes",),
        "1",
        ("imported_demonstrations",),
        holds_episodes=True,
    ),
    Node(
        "base_policy",
        "campaign",
        ("demonstrations", "imported_demonstrations"),
        "2",
        ("seed", "scene", "curation", "policy"),
        "training",
    ),
    Node(
        "exploration_rollouts",
        "campaign",
        ("base_policy",),
        _since(_RECORDED, acting=ACTING_VERSION),
        ("scene", SUITE_VERSION, "exploration"),
        "simulator",
        True,
    ),
    Node(
        "open_loop_replays",
        "campaign",
        ("demonstrations", "exploration_rollouts"),
        _since(_RECORDED, open_loop=OPEN_LOOP_VERSION),
        ("scene", SUITE_VERSION, "curation", "open_loop"),
        "simulator",
        True,
    ),
    Node(
        "raw_episodes",
        "campaign",
        (
            "demonstrations",
            "perturbed_demonstrations",
            "exploration_rollouts",
            "open_loop_replays",
            "imported_episodes",
        ),
        "1",
        (),
        holds_episodes=True,
    ),
    Node(
        "autoencoder",
        "campaign",
        ("raw_episodes",),
        "1",
        ("seed", "curation", "world_model.image_size", "world_model.autoencoder", _AVERAGED),
        "training",
    ),
    Node(
        "embodiment",
        "campaign",
        ("base_policy", "raw_episodes", "autoencoder"),
        "4",
        ("seed", "curation", "world_model.embodiment", _AVERAGED),
        "training",
    ),
    Node(
        "pretrained_world_model",
        "campaign",
        ("raw_episodes", "autoencoder", "embodiment"),
        "17",
        (
            "seed",
            "scene",
            "curation",
            "world_model.frame_stride",
            "world_model.transformer",
            "world_model.training",
            "world_model.pretrain_steps",
        ),
        "training",
    ),
    Node(
        "judge",
        "campaign",
        ("raw_episodes",),
        "1",
        ("seed", "curation", "world_model.image_size", "judge"),
        "training",
    ),
    Node("incoming_rollouts", "iteration", (), "1", holds_episodes=True, feedback_from="policy_rollouts"),
    Node("sans", "iteration", ("raw_episodes", "incoming_rollouts"), "3", ("curation",)),
    Node(
        "world_model",
        "iteration",
        ("sans", "pretrained_world_model"),
        "14",
        ("seed", "scene", "world_model.training", "fine_tuning", "imagination"),
        "training",
        leaves_out=True,
    ),
    Node(
        "alignment",
        "iteration",
        ("world_model", "sans", "judge"),
        "6",
        ("seed", "scene", "imagination", "alignment", "fine_tuning.calibration_episodes"),
        "training",
    ),
    Node("keyframes", "iteration", ("sans",), "1", ("scene", "keyframes"), leaves_out=True),
    Node("incoming_policy", "iteration", (), "1", feedback_from="rl_policy"),
    Node(
        "rl_policy",
        "iteration",
        ("base_policy", "incoming_policy", "world_model", "alignment", "keyframes", "judge"),
        "17",
        ("seed", "scene", "imagination", "keyframes", "policy", "rl", "evaluation.temperature"),
        "training",
    ),
    Node(
        "evaluation",
        "iteration",
        # Of the world model and the judge it reads what `rl_policy` says of them beside its weights.
        ("rl_policy", "base_policy", "world_model", "judge"),
        _since("7", acting=ACTING_VERSION),
        ("scene", "curation", "rl", "evaluation"),
        "simulator",
    ),
    Node(
        "policy_rollouts",
        "iteration",
        ("rl_policy",),
        _since(_RECORDED, acting=ACTING_VERSION),
        ("scene", SUITE_VERSION, "curation", "collection"),
        "simulator",
        True,
        varies_by_iteration=True,
    ),
    Node("failure_rollouts", "iteration", ("policy_rollouts",), "1", holds_episodes=True),
    Node(
        "iteration_record",
        "iteration",
        (
            "base_policy",
            "autoencoder",
            "embodiment",
            "pretrained_world_model",
            "judge",
            "sans",
            "world_model",
            "alignment",
            "keyframes",
            "rl_policy",
            "evaluation",
            "policy_rollouts",
            "failure_rollouts",
        ),
        "1",
    ),
)

GRAPH: dict[str, Node] = {node.name: node for node in NODES}
