"""Doctor and retention on a lake in a real S3 server."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.lake.published import published_lake
from worldvla.home import lake_root
from worldvla.lake.episodes import load_bank
from worldvla.lake.materializations import latest
from worldvla.lake.models import has_model
from worldvla.lake.store import Lake
from worldvla.planner.recall import is_whole
from worldvla.upkeep.doctor import examine, repair
from worldvla.upkeep.retention import apply, make_plan


@pytest.mark.slow
def test_the_doctor_and_retention_work_in_the_store(on_s3: str, home: Path) -> None:
    lake = published_lake(lake_root())
    abandoned = latest(lake)["base_policy", "abandoned", ""].data_version
    assert examine(lake, home, deep=True) == []
    lake.untag("sans", "iteration.demo.0000")
    found = examine(lake, home)
    assert [finding.mend for finding in found] == ["tag"]
    assert repair(lake, found)[0].repaired and examine(lake, home) == []
    apply(lake, make_plan(lake, [], timedelta(0)))
    lake = Lake(lake_root())
    assert not has_model(lake, abandoned) and examine(lake, home, deep=True) == []
    assert all(is_whole(lake, record) for record in latest(lake).values())
    load_bank(lake, lake.frame("episodes", ["episode_id"])["episode_id"].to_list(), 8)
