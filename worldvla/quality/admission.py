"""The gate of the lake: what is recorded is measured first, and what breaks an error rule goes to quarantine.

An episode is in the lake or in quarantine only after its facts are known, and every row is keyed by
content, so a call that was killed can be repeated from its beginning: nothing is lost, nothing twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from worldvla.episodes.episode import Episode
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import existing, read_episode, write_episodes
from worldvla.lake.store import Lake
from worldvla.quality.facts import measure
from worldvla.quality.quarantine import errors_of, quarantine, record_bytes, releases


@dataclass
class Verdicts:
    """Episode ids in the order they came. `refused` are in quarantine and must not become members of a set."""

    admitted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add(self, episode_id: str, is_refused: bool) -> None:
        (self.refused if is_refused else self.admitted).append(episode_id)


def admit(lake: Lake, episodes: Iterable[Episode], commit: Commit, batch: int = 16) -> Verdicts:
    """Measures episodes, `batch` at a time as they come, and writes each to the lake or to quarantine."""
    verdicts = Verdicts()
    exempt = releases(lake)
    stream = iter(episodes)
    while group := list(islice(stream, batch)):
        measured = [(episode, measure(episode)) for episode in group]
        errors = {facts["episode_id"]: facts["errors"] for _, facts in measured}
        out = {episode_id for episode_id in errors if _refused(episode_id, errors, exempt)}
        quarantine(lake, [one for one in measured if one[0].episode_id in out], commit)
        lake.insert("episode_facts", [facts for _, facts in measured], commit)
        write_episodes(lake, [episode for episode in group if episode.episode_id not in out], commit)
        for episode in group:
            verdicts.add(episode.episode_id, episode.episode_id in out)
    return verdicts


def judge_again(lake: Lake, ids: list[str], commit: Commit, batch: int = 16) -> Verdicts:
    """The verdicts on episodes recorded or quarantined before, under the rules of today.

    Those that today's rules have not seen are measured from their bytes. An episode of the
    lake that they refuse stays recorded, because published sets name it, and is quarantined
    besides; one of the quarantine that they let pass is written to the lake. Raises `UserError`
    on an episode that must be measured and is no longer what was recorded.
    """
    errors, exempt, recorded = errors_of(lake, ids), releases(lake), existing(lake, ids)
    unseen = iter([episode_id for episode_id in ids if episode_id not in errors])
    while group := list(islice(unseen, batch)):
        measured = [(episode, measure(episode)) for episode in (_stored(lake, one, recorded) for one in group)]
        errors |= {facts["episode_id"]: facts["errors"] for _, facts in measured}
        # Quarantine first: whoever finds the facts relies on the bytes being there.
        quarantine(lake, [one for one in measured if _refused(one[0].episode_id, errors, exempt)], commit)
        lake.insert("episode_facts", [facts for _, facts in measured], commit)
    verdicts = Verdicts()
    for episode_id in ids:
        is_refused = _refused(episode_id, errors, exempt)
        if not is_refused and episode_id not in recorded:
            write_episodes(lake, [record_bytes(lake, episode_id)], commit)
        verdicts.add(episode_id, is_refused)
    return verdicts


def _refused(episode_id: str, errors: Mapping[str, Iterable[str]], exempt: Mapping[str, set[str]]) -> bool:
    return bool(set(errors[episode_id]) - exempt.get(episode_id, set()))


def _stored(lake: Lake, episode_id: str, recorded: set[str]) -> Episode:
    episode = read_episode(lake, episode_id) if episode_id in recorded else record_bytes(lake, episode_id)
    if episode.episode_id != episode_id:
        raise UserError(
            f"episode {episode_id} is damaged: its frames are not those that were recorded. "
            f"`worldvla retract {episode_id[:12]} --reason damaged` withdraws it"
        )
    return episode
