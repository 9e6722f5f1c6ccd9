"""Real lakes whose nodes hold synthetic episodes: what the planner looks at, without a simulator or a model."""

from collections.abc import Callable

from tests.factories import synthetic_episode
from worldvla import campaigns
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.episodes import set_members, write_episodes, write_set
from worldvla.lake.materializations import Materialization, publish
from worldvla.lake.store import Lake
from worldvla.planner.execute import execute
from worldvla.planner.fingerprints import config_digest, fingerprint
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.observe import current, parent_versions, snapshot
from worldvla.planner.plan import Run, Selection

CAMPAIGN = "test"
RECORDED = {
    "demonstrations": 0,
    "perturbed_demonstrations": 100,
    "exploration_rollouts": 200,
    "open_loop_replays": 250,
    "policy_rollouts": 300,
}


def loop(lake: Lake, iterations: int = 2) -> list[Run]:
    return execute(look(lake, iterations), Selection.loop(CAMPAIGN, iterations), launcher(lake)).runs


def rematerialize(lake: Lake) -> list[Run]:
    return execute(look(lake), Selection(), launcher(lake)).runs


def look(lake: Lake, iterations: int = 0) -> Callable:
    return lambda: snapshot(lake, [CAMPAIGN], iterations).assess()


def not_fresh(lake: Lake) -> dict[tuple[str, str], str]:
    return {(s.asset, s.iteration): s.reason for s in look(lake)() if s.state != "fresh"}


def launcher(lake: Lake) -> Callable[[Run], int]:
    """Publishes a run's assets as the real ones do: content from their parents, one record each."""

    def launch(run: Run) -> int:
        for asset in run.assets:
            node = GRAPH[asset]
            commit = Commit("run", asset, run.campaign, run.iteration)
            parents = parent_versions(lake, node, run.campaign, run.iteration)
            config = config_digest(node, campaigns.load(run.campaign))
            record = Materialization(
                asset=asset,
                campaign=run.campaign,
                iteration=run.iteration,
                data_version=_content(lake, node, run, parents, commit),
                code_version=node.code_version,
                config_digest=config,
                parents=parents,
                fingerprint=fingerprint(node, node.code_version, config, parents),
                run_id="run",
            )
            publish(lake, record, commit)
        return 0

    return launch


def _content(lake: Lake, node: Node, run: Run, parents: dict[str, str], commit: Commit) -> str:
    if node.name in RECORDED:
        first = RECORDED[node.name] + 10 * int(run.iteration or 0)
        episodes = [synthetic_episode(seed, success=seed % 2 == 0, images=False) for seed in range(first, first + 4)]
        return write_set(lake, write_episodes(lake, episodes, commit), commit)
    if not node.holds_episodes:
        return digest([node.name, parents])
    records = current(lake)
    versions = [records[parent, run.campaign, _scope(parent, run)].data_version for parent in node.parents]
    return write_set(lake, [episode for version in versions for episode in set_members(lake, version)], commit)


def _scope(asset: str, run: Run) -> str:
    return run.iteration if GRAPH[asset].scope == "iteration" else ""
