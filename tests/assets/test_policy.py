import pytest

from assets.policy import begun_from
from assets.publication import Step
from tests.factories import CAMPAIGN, synthetic_lake
from worldvla import campaigns
from worldvla.lake.materializations import latest
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
    assert begun_from(step).model_id == latest(lake)[policy].data_version
