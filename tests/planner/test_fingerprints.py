"""What a fingerprint takes of the configuration."""

from worldvla import campaigns
from worldvla.lake.digests import digest
from worldvla.planner.fingerprints import SECTION_DIGITS, changed_sections, config_digest
from worldvla.planner.graph import GRAPH


def test_a_setting_at_its_neutral_value_leaves_what_was_computed_without_it_fresh():
    campaign = campaigns.load("demo")
    scene = campaign.scene.model_dump(mode="json")
    assert scene.pop("camera_stride") == 1
    without = f"scene:{digest(scene)[:SECTION_DIGITS]}"

    def read(stride: int) -> list[str]:
        changed = campaign.model_copy(update={"scene": campaign.scene.model_copy(update={"camera_stride": stride})})
        return config_digest(GRAPH["base_policy"], changed).split(",")

    assert without in read(1)
    assert without not in read(4)


def test_another_version_of_a_suite_concerns_campaigns_of_that_suite_alone(monkeypatch):
    recorded, trained = GRAPH["exploration_rollouts"], GRAPH["base_policy"]
    tabletop, goal = campaigns.load("demo"), campaigns.load("test-libero")
    before = [config_digest(node, campaign) for campaign in (tabletop, goal) for node in (recorded, trained)]

    monkeypatch.setattr("worldvla.sim.tabletop.VERSION", -1)

    after = [config_digest(node, campaign) for campaign in (tabletop, goal) for node in (recorded, trained)]
    assert changed_sections(before[0], after[0]) == ["suite_version"]
    assert after[1:] == before[1:]
