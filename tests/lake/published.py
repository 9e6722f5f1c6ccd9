"""Lakes with published iterations, and with work that was abandoned."""

from datetime import UTC, datetime
from pathlib import Path

from tests.factories import synthetic_episode, synthetic_lake
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.episodes import write_episodes, write_set
from worldvla.lake.materializations import Materialization, latest, publish
from worldvla.lake.models import has_model, write_membership, write_model
from worldvla.lake.store import Lake
from worldvla.lake.tags import tag_iteration

COMMIT = Commit("run", "base_policy", "abandoned")
MEBIBYTE = 2**20


def published_lake(root: Path) -> Lake:
    """Two published iterations of `demo`, an abandoned campaign recorded before the second."""
    lake = synthetic_lake(root)
    recorded(lake, "0000")
    abandon(lake)
    recorded(lake, "0001")
    return lake


def recorded(lake: Lake, iteration: str, campaign: str = "demo") -> None:
    """What `iteration_record` does."""
    tables = lake.versions()
    models = {
        asset: record.data_version
        for (asset, of, where), record in latest(lake).items()
        if of == campaign and where in ("", iteration) and has_model(lake, record.data_version)
    }
    row = {
        "campaign": campaign,
        "iteration": iteration,
        "versions": {},
        "tables": tables,
        "models": models,
        "committed_at": datetime.now(UTC),
    }
    lake.upsert("iterations", [row], Commit("run", "iteration_record"))
    tag_iteration(lake, campaign, iteration, tables)


def abandon(lake: Lake, campaign: str = "abandoned", first: int = 900) -> tuple[str, list[str]]:
    """A campaign that got as far as its base policy: a model of 1 MiB and 16 episodes."""
    episodes = [synthetic_episode(seed, length=20, size=48) for seed in range(first, first + 16)]
    ids = write_episodes(lake, episodes, COMMIT)
    version = write_set(lake, ids, COMMIT)
    weights = bytes([first % 251]) * MEBIBYTE
    model = write_model(lake, "base_policy", {}, weights, {}, {}, None, None, COMMIT)
    write_membership(lake, model, ids, ["success"] * len(ids), version, COMMIT)
    for asset, content, parents in (
        ("demonstrations", version, {}),
        ("base_policy", model, {"demonstrations": version}),
    ):
        record = Materialization(
            asset=asset,
            campaign=campaign,
            iteration="",
            data_version=content,
            code_version="1",
            config_digest="",
            parents=parents,
            fingerprint=digest([campaign, asset]),
            run_id="run",
        )
        publish(lake, record, COMMIT)
    return model, ids
