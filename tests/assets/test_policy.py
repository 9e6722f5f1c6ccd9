import pytest

from assets.policy import begun_from, policies_among_parents
from assets.publication import Step
from tests.factories import CAMPAIGN, synthetic_lake
from worldvla import campaigns
from worldvla.lake.materializations import latest
from worldvla.lake.models import read_model
from worldvla.planner.graph import GRAPH


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake(tmp_path_factory.mktemp("lake"))


@pytest.mark.parametrize(
    ("start", "iteration", "policy"),
    [
        ("base", "0000", ("base_policy", CAMPAIGN, "")),
        ("latest", "0000", ("base_policy", CAMPAIGN, "")),
        ("base", "0001", ("base_policy", CAMPAIGN, "")),
        ("latest", "0001", ("rl_policy", CAMPAIGN, "0000")),
    ],
)
def test_which_policy_an_iteration_improves(lake, monkeypatch, start, iteration, policy):
    config = campaigns.load(CAMPAIGN)
    config = config.model_copy(update={"rl": config.rl.model_copy(update={"start": start})})
    monkeypatch.setattr(campaigns, "load", lambda name: config)
    step = Step(GRAPH["rl_policy"], CAMPAIGN, iteration, lake, "run")
    base, begun = read_model(lake, step.record("base_policy").data_version), begun_from(step)
    assert begun.model_id == latest(lake)[policy].data_version
    previous = {} if begun.model_id == base.model_id else {"previous_policy": begun.model_id}
    assert policies_among_parents(base, begun) == {"base_policy": base.model_id} | previous
    assert bool(previous) == (policy[0] == "rl_policy")
