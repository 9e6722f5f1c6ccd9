"""The lake's doctor: what is broken, what is at risk, what is waste, and what can be mended without loss.

An error is something that a reader will meet or that a cleanup will break; a note costs bytes
alone. `examine` only looks. `repair` does what loses nothing that can still be read:

| repair | why it is safe |
|---|---|
| tag a version that a model or an iteration names | it only keeps that version from being cleaned up |
| sweep files that no version names | no reader can find them; the table's lock shows that no writer is at work |
| remove what is left of checkpoints | the training's model is in the lake, or the save never ended |
| withdraw a model without weights, or a publication without rows | nobody can read it; the loop makes it again |

Everything else is for a person, with the command in `fix`.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.materializations import latest
from worldvla.lake.models import KINDS
from worldvla.lake.store import Lake, is_in, quoted
from worldvla.lake.tables import TABLES
from worldvla.upkeep import content, files, references
from worldvla.upkeep.content import BATCH
from worldvla.upkeep.finding import Finding
from worldvla.upkeep.footprint import orphans

COMMIT = Commit(run_id="", asset="doctor")
# Longer than any lake lives: cleans up no version.
NEVER = timedelta(days=36500)

CHECKS: dict[str, Callable[[Lake], object]] = {
    "versions that are needed": files.versions,
    "sets of episodes": content.sets,
    "publications": references.publications,
    "references": references.dangling,
    "frames": references.frames,
    "keys": references.doubled,
    "rows that nothing names": references.unpublished,
    "files that nothing names": files.unnamed,
}


def examine(lake: Lake, home: Path, deep: bool = False, step: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """Everything that is wrong or wasteful in the lake and the home's leftovers; changes nothing.

    `deep` decodes every column of bytes, and computes the digests of frames and weights anew. A lake with a
    damaged table is looked at no further: what its rows name cannot be told.
    """
    step("files")
    found = list(files.tables(lake, deep))
    if found:
        return found
    blobs = [table for table, spec in TABLES.items() if spec.blobs and lake.exists(table)]
    found += [finding for table in blobs for finding in files.blobs(lake, table)]
    for name, check in CHECKS.items():
        step(name)
        found += check(lake)
    if deep:
        found += content.episodes(lake, lambda: step("digests of episodes"))
        known = {finding.subject for finding in found if finding.mend == "withdraw"}
        models = content.models(lake, lambda: step("digests of models"))
        found += [finding for finding in models if finding.subject not in known]
    step("leftovers")
    fingerprints = (
        {record.fingerprint for record in latest(lake).values()} if lake.exists("materializations") else set()
    )
    return found + list(files.leftovers(home, fingerprints))


def steps(lake: Lake, deep: bool) -> int:
    """How often `examine` calls `step`."""
    count = 2 + len(CHECKS)
    if not deep:
        return count
    try:
        tables = [table for table in ("episodes", "models") if lake.exists(table)]
        rows = {table: lake.open(table).count_rows() for table in tables}
    except UserError:  # a damaged table is what is to be found
        return count
    return count + -(-rows.get("episodes", 0) // BATCH) + rows.get("models", 0)


def repair(lake: Lake, findings: list[Finding]) -> list[Finding]:
    """Mends what is safe to mend; nothing may write meanwhile. Returns the findings, mended ones marked."""
    return [replace(one, repaired=_mended(lake, one)) for one in findings]


def _mended(lake: Lake, finding: Finding) -> bool:
    if finding.mend == "tag":
        name, _, version = finding.subject.rpartition("=")
        lake.tag(finding.table, name, int(version), move=True)
    elif finding.mend == "sweep":
        if lake.is_remote:
            return False
        with lake.exclusive(finding.table) as dataset:
            dataset.cleanup_old_versions(NEVER, delete_unverified=True, error_if_tagged_old_versions=False)
            return not orphans(dataset)
    elif finding.mend == "remove":
        path = Path(finding.subject)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif finding.mend == "withdraw" and finding.table == "models":
        _withdraw(lake, finding.subject)
    elif finding.mend == "withdraw":
        campaign, *iteration, asset = finding.subject.split("/")
        _unpublish(lake, asset, campaign, "".join(iteration))
    return finding.mend is not None


def _withdraw(lake: Lake, model: str) -> None:
    """Unpublishes a model and removes its row, in this order: a publication never names a row that is gone."""
    kinds = is_in("asset", list(KINDS))
    lake.delete("materializations", f"{kinds} AND data_version = {quoted(model)}", COMMIT)
    lake.delete("models", f"model_id = {quoted(model)}", COMMIT)


def _unpublish(lake: Lake, asset: str, campaign: str, iteration: str) -> None:
    """Takes back a node's newest publication, whose content is not there."""
    record = latest(lake)[asset, campaign, iteration]
    node = f"asset = {quoted(asset)} AND campaign = {quoted(campaign)} AND iteration = {quoted(iteration)}"
    lake.delete("materializations", f"{node} AND data_version = {quoted(record.data_version)}", COMMIT)
