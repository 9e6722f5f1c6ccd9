"""What is known of the campaigns of a benchmark: of each the measurements that go furthest, of this home or kept.

Kept measurements count while code and settings are those of today, as a home's nodes do while they are fresh.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.campaign_home import Home, Missing, Plan, look, measurements
from benchmarks.campaign_measurements import Alignment, Evaluation, Measurements, keep, kept, named
from worldvla.errors import UserError
from worldvla.lake.store import Lake
from worldvla.partitions import iteration_key


@dataclass(frozen=True)
class Evidence:
    """The measurements of the planned campaigns, by name, and what is missing."""

    plan: Plan
    measured: Mapping[str, Measurements]
    missing: list[Missing]

    def of(self, names: Iterable[str]) -> "Evidence":
        """The evidence of some of the campaigns."""
        some = {name: self.plan[name] for name in names}
        measured = {name: one for name, one in self.measured.items() if name in some}
        return Evidence(some, measured, [one for one in self.missing if one.campaign in some])

    def alignments(self, campaign: str) -> dict[str, Alignment]:
        """By planned iteration."""
        found = self.measured[campaign].alignments if campaign in self.measured else {}
        return {one: found[one] for one in self._planned(campaign) if one in found}

    def evaluations(self, campaign: str) -> list[Evaluation]:
        """Of a campaign's planned iterations those that are there, under one protocol."""
        found = self.measured[campaign].evaluations if campaign in self.measured else {}
        return alike([found[one] for one in self._planned(campaign) if one in found])

    def _planned(self, campaign: str) -> list[str]:
        return list(map(iteration_key, range(self.plan[campaign])))


def gather(lake: Lake | None, plan: Plan, folder: Path) -> Evidence:
    """Measures what the lake holds, keeps it in `folder` where it goes as far as what is kept there, and takes the rest
    from what is kept; without a lake, all.

    Raises `UserError` where the lake holds no loop, and where rows or a file are damaged.
    """
    here = look(lake, plan) if lake else None
    found: dict[str, Measurements] = {}
    missing = list(here.missing) if here else []
    for name, count in plan.items():
        mine, old = measurements(here, name) if here else None, kept(name, folder)
        if old and (why := old.outdated() or (_stale(here, old) if here else "")):
            missing.append(Missing(name, f"what is kept of it was measured before a change: {why}"))
            old = None
        if old and mine and mine.same(old):
            # Measured then and there, however often it is reported.
            found[name] = old
        elif mine and mine.extent > (old.extent if old else 0):
            keep(mine, folder)
            found[name] = mine
        elif old:
            found[name] = old
            missing = [one for one in missing if one.campaign != name] + lacking(old, count)
            if mine and mine.extent == old.extent:
                why = "this home measured as much, and otherwise; to report that, remove what is kept"
                missing.append(Missing(name, f"what was kept on {old.date} is reported; {why} ({folder / name}.json)"))
            missing += [
                Missing(name, f"what was kept on {old.date} is reported; in this home {gate} failed its gate: {why}")
                for gate, why in (mine.gates if mine else {}).items()
                if gate not in old.gates
            ]
        elif not here:
            missing.append(Missing(name, "nothing kept"))
    return Evidence(plan, found, missing)


def _stale(home: Home, old: Measurements) -> str:
    """What of these measurements this home holds too, and knows to be stale, in words; empty where nothing is."""
    stale = {
        named(asset, iteration): version
        for (asset, campaign, iteration), version in home.stale.items()
        if campaign == old.campaign
    }
    both = sorted(node for node, version in old.versions.items() if stale.get(node) == version)
    return f"{both[0]} is stale in this home" if both else ""


def lacking(old: Measurements, count: int) -> list[Missing]:
    """What of the planned iterations is not among kept measurements."""
    return [
        Missing(old.campaign, f"missing (not among what was kept on {old.date})", one, asset)
        for one in map(iteration_key, range(count))
        for asset, there in (
            ("alignment", old.alignments),
            ("evaluation", old.evaluations),
            ("iteration_record", old.closed),
        )
        if one not in there
    ]


def alike(found: list[Evaluation], apart_from: Iterable[str] = ()) -> list[Evaluation]:
    """The evaluations, which may be set beside each other; raises `UserError` where their protocols differ.

    Fields of `apart_from` may: figures of several suites are averaged, never subtracted.
    """
    for other in found[1:]:
        fields = (found[0].protocol.keys() | other.protocol.keys()) - set(apart_from)
        unlike = [
            f"{name} {found[0].protocol.get(name)} against {other.protocol.get(name)}"
            for name in sorted(fields)
            if found[0].protocol.get(name) != other.protocol.get(name)
        ]
        if unlike:
            raise UserError(
                f"{found[0].campaign} {found[0].iteration} and {other.campaign} {other.iteration} were evaluated under "
                f"unlike protocols, so they are not compared: {'; '.join(unlike)}"
            )
    return found
