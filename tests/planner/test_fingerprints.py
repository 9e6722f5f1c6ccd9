"""What a fingerprint takes of the configuration."""

from worldvla import campaigns
from worldvla.lake.digests import digest
from worldvla.planner.fingerprints import SECTION_DIGITS, config_digest
from worldvla.planner.graph import GRAPH


def test_a_setting_at_its_neutral_value_leaves_what_was_computed_without_it_fresh():
    campaign = campaigns.load("demo")
    rl = campaign.rl.model_dump(mode="json")
    assert rl.pop("warm_up_steps") == 0
    without = f"rl:{digest(rl)[:SECTION_DIGITS]}"

    def read(steps: int) -> list[str]:
        changed = campaign.model_copy(update={"rl": campaign.rl.model_copy(update={"warm_up_steps": steps})})
        return config_digest(GRAPH["rl_policy"], changed).split(",")

    assert without in read(0)
    assert without not in read(10)
