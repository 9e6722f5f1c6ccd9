"""`rematerialize_stale`: off until switched on, one run a campaign at a time, and never the same one twice."""

import dagster as dg
import pytest
import yaml

from pipelines.automation import rematerialize_stale
from tests.pipelines.nights import CAMPAIGN, ask, make_run, outdate, published
from worldvla.locks import campaign_lock


@pytest.fixture(autouse=True)
def asking(tmp_path, monkeypatch):
    ask(tmp_path, monkeypatch, every_night={}, other={})


def evaluate(instance: dg.DagsterInstance) -> dg.SkipReason | list[dg.RunRequest]:
    with dg.build_sensor_context(instance=instance) as context:
        return rematerialize_stale(context)


def loop(campaign: str = CAMPAIGN) -> None:
    published("campaign", "", campaign=campaign)
    published("iteration", "0000", campaign=campaign)


def assets(request: dg.RunRequest) -> list[str]:
    return [key.to_user_string() for key in request.asset_selection]


def test_it_is_off_until_somebody_switches_it_on():
    assert rematerialize_stale.default_status is dg.DefaultSensorStatus.STOPPED


def test_nothing_stale_asks_for_nothing_and_missing_is_not_stale(instance):
    assert evaluate(instance).skip_message == "nothing is stale"
    published("campaign", "")
    assert evaluate(instance).skip_message == "nothing is stale"


def test_the_planners_runs_come_one_after_the_other(instance):
    loop()
    outdate("judge", "")
    outdate("keyframes", "0000")
    [first] = evaluate(instance)
    assert (first.job_name, first.partition_key, assets(first)) == ("campaign", CAMPAIGN, ["judge"])
    published("campaign", "")
    [second] = evaluate(instance)
    # What is stale only because of the keyframes waits for how they come out.
    assert (second.job_name, second.partition_key, assets(second)) == ("iteration", f"{CAMPAIGN}|0000", ["keyframes"])
    published("iteration", "0000")
    assert evaluate(instance).skip_message == "nothing is stale"


def test_campaigns_do_not_wait_for_each_other(instance):
    for campaign in (CAMPAIGN, "other"):
        loop(campaign)
        outdate("sans", "0000", campaign)
    make_run(instance, dg.DagsterRunStatus.STARTED, campaign="other")
    [request] = evaluate(instance)
    assert request.partition_key == f"{CAMPAIGN}|0000"


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
def test_no_run_is_asked_for_while_one_is_in_flight(instance, status):
    loop()
    outdate("sans", "0000")
    run = make_run(instance, status, "0000")
    assert f"run {run.run_id} still runs" in evaluate(instance).skip_message


def test_no_run_is_asked_for_while_a_person_runs_the_loop(instance):
    loop()
    outdate("sans", "0000")
    with campaign_lock(CAMPAIGN):
        assert "is being run by process" in evaluate(instance).skip_message


def test_a_failed_run_waits_for_a_person_and_equal_reasons_have_one_key(instance):
    loop()
    outdate("sans", "0000")
    [once], [twice] = evaluate(instance), evaluate(instance)
    assert once.run_key == twice.run_key
    outdate("sans", "0000")
    [changed] = evaluate(instance)
    assert changed.run_key != once.run_key
    make_run(instance, dg.DagsterRunStatus.FAILURE, "0000", tags=changed.tags)
    message = evaluate(instance).skip_message
    assert f"mend its cause, then `worldvla rematerialize --campaign {CAMPAIGN}` goes on" in message


def test_a_section_that_is_changed_twice_is_asked_for_twice(instance, tmp_path):
    """The first change's run was terminated; the reason, that the section changed, is the same."""
    loop()
    file = tmp_path / "campaigns.yaml"
    keys = []
    for updates in (3, 3, 4):
        content = yaml.safe_load(file.read_text())
        content["campaigns"][CAMPAIGN]["rl"] = {"updates": updates}
        file.write_text(yaml.safe_dump(content))
        [request] = evaluate(instance)
        assert assets(request) == ["rl_policy", "evaluation"]
        keys.append(request.run_key)
    assert keys[0] == keys[1] != keys[2]


def test_what_a_gate_keeps_back_is_named(instance):
    published("campaign", "")
    published("iteration", "0000")
    published("iteration", "0000", blocking_failure="reward alignment 0.52 < 0.60")
    assert "reward alignment 0.52 < 0.60" in evaluate(instance).skip_message
