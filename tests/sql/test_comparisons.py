"""Rates measured alike are compared; unlike ones are refused, with the fields that differ."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.factories import PROTOCOL, synthetic_lake
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.materializations import latest, publish
from worldvla.lake.names import resolve_model
from worldvla.lake.query import run_audit
from worldvla.lake.store import Lake

COMMIT = Commit("run", "evaluation")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return synthetic_lake(tmp_path)


def evaluate(lake: Lake, policy: str, protocol: dict, seeds: range, task: str = "PushCube-v1") -> None:
    """Rows under a protocol, every second one a success, and a publication that spells the protocol out and says of
    how many."""
    rows = [
        {"policy_id": policy, "protocol": digest(protocol), "task": task, "seed": seed, "success": seed % 2 == 0}
        for seed in seeds
    ]
    lake.insert("evaluations", rows, COMMIT)
    record = latest(lake)["evaluation", "demo", "0001"]
    details = {"protocol": protocol, "tasks": {task: {"new": {"n": len(seeds)}}}}
    parents = {"base_policy": policy, "rl_policy": policy}
    publish(lake, replace(record, details=details, parents=parents, materialized_at=datetime.now(UTC)), COMMIT)


def forget(lake: Lake, policy: str) -> None:
    lake.delete("evaluations", f"policy_id = '{policy}'")


def test_unlike_protocols_are_refused_with_the_fields_that_differ(lake: Lake) -> None:
    base = resolve_model(lake, "demo/base_policy")
    forget(lake, base)
    evaluate(lake, base, {"split": "heldout", "temperature": 1.0, "max_steps": 80}, range(1000, 1010))
    with pytest.raises(UserError) as refusal:
        run_audit(lake, "compare_policies", {"policy": "demo/1", "against": "demo/base_policy"})
    message = str(refusal.value)
    assert message.startswith("compare_policies: the two were evaluated under unlike protocols (")
    assert message.endswith("cannot be compared: max_steps none against 80; temperature 0.0 against 1.0")
    assert "split" not in message and "error" not in message.lower()


def test_what_was_measured_alike_is_compared_whatever_else_there_is(lake: Lake) -> None:
    base, policy = resolve_model(lake, "demo/base_policy"), resolve_model(lake, "demo/1", ("rl_policy",))
    longer = PROTOCOL | {"max_steps": 80}
    evaluate(lake, base, longer, range(1000, 1030))
    [row] = run_audit(lake, "compare_policies", {"policy": policy, "against": base}).to_dicts()
    assert (row["protocol"], row["n"], row["rate"], row["other_rate"]) == (digest(PROTOCOL), 10, 0.8, 0.4)
    # Pairs alone count: the new policy is evaluated on some of those seeds.
    evaluate(lake, policy, longer, range(1020, 1040))
    rows = {
        row["protocol"]: row
        for row in run_audit(lake, "compare_policies", {"policy": policy, "against": base}).to_dicts()
    }
    assert (rows[digest(longer)]["n"], rows[digest(longer)]["difference"]) == (10, 0.0)
    assert rows[digest(longer)]["conditions"] == "max_steps = 80, split = heldout, temperature = 0.0"


def test_policies_without_a_common_seed_or_any_evaluation_are_refused(lake: Lake) -> None:
    base = resolve_model(lake, "demo/base_policy")
    forget(lake, base)
    with pytest.raises(UserError, match=f"policy {base} was never evaluated"):
        run_audit(lake, "compare_policies", {"policy": "demo/1", "against": "demo/base_policy"})
    evaluate(lake, base, PROTOCOL, range(5000, 5010))
    evaluate(lake, base, PROTOCOL, range(1000, 1010), task="StackCube-v1")
    with pytest.raises(UserError, match="under one protocol, but on no task and seed in common"):
        run_audit(lake, "compare_policies", {"policy": "demo/1", "against": "demo/base_policy"})


def test_an_evaluation_that_nobody_published_is_none(lake: Lake) -> None:
    base = resolve_model(lake, "demo/base_policy")
    forget(lake, base)
    row = {"policy_id": base, "protocol": "feedbeef", "task": "PushCube-v1", "seed": 1000, "success": True}
    lake.insert("evaluations", [row], COMMIT)
    with pytest.raises(UserError, match=f"policy {base} was never evaluated"):
        run_audit(lake, "compare_policies", {"policy": "demo/1", "against": "demo/base_policy"})


def test_world_models_are_compared_under_one_protocol_alone(lake: Lake) -> None:
    first, second = (resolve_model(lake, f"demo/{number}", ("world_model",)) for number in (0, 1))
    [row] = run_audit(lake, "compare_world_models", {"model": second, "against": first}).to_dicts()
    assert row["n"] == 9 and row["reward_difference"] == 0.0
    rows = lake.read("alignments", where=f"model_id = '{first}'").to_pylist()
    lake.delete("alignments", f"model_id = '{first}'")
    unlike = PROTOCOL | {"judge": "another"}
    lake.insert("alignments", [one | {"protocol": digest(unlike)} for one in rows], COMMIT)
    for iteration, protocol in (("0000", unlike), ("0001", PROTOCOL)):
        record = latest(lake)["alignment", "demo", iteration]
        details = {"protocol": protocol | {"digest": digest(protocol)}}
        publish(lake, replace(record, details=details, materialized_at=datetime.now(UTC)), COMMIT)
    with pytest.raises(UserError, match="the two were aligned under unlike.*: judge none against another$"):
        run_audit(lake, "compare_world_models", {"model": second, "against": first})


def test_what_a_rate_was_measured_with(lake: Lake) -> None:
    policy = resolve_model(lake, "demo/1", ("rl_policy",))
    evaluate(lake, policy, PROTOCOL | {"temperature": 1.0}, range(0, 4))
    rows = {row["protocol"]: row for row in run_audit(lake, "measured_with", {"policy": "demo/1"}).to_dicts()}
    assert rows[digest(PROTOCOL)]["conditions"] == "split = heldout, temperature = 0.0"
    other = rows[digest(PROTOCOL | {"temperature": 1.0})]
    assert (other["n"], other["rate"], other["conditions"]) == (4, 0.5, "split = heldout, temperature = 1.0")
