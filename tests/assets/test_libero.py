"""One iteration of the loop on LIBERO, through Dagster: its tasks' names, experts and evaluated initial states."""

from pathlib import Path

import polars as pl
import pytest

from tests.assets.test_loop import run
from tests.sim.libero.conftest import libero_assets  # noqa: F401  the meshes, or why these tests are skipped
from worldvla.lake.store import Lake
from worldvla.sim import suites

pytestmark = pytest.mark.slow


def test_an_iteration_runs_on_libero(tmp_path: Path) -> None:
    progress = run(tmp_path, "loop", "--campaign", "test-libero", "--json")
    assert [row["iteration"] for row in progress] == ["0000"]
    lake = Lake(tmp_path / "lake")
    episodes = lake.frame("episodes", ["suite", "task", "instruction", "source", "success"])
    assert episodes.select("suite", "task", "instruction").unique().rows() == [
        ("libero_goal", "put_the_bowl_on_the_plate", "put the bowl on the plate")
    ]
    assert episodes.filter(pl.col("source") == "expert")["success"].all()
    evaluated = lake.frame("evaluations", ["seed"])["seed"].unique()
    assert sorted(evaluated) == list(range(900_000, 900_004)) and all(
        suites.is_shipped("libero_goal", seed) for seed in evaluated
    )
