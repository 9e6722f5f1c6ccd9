"""What is measured on an episode before it enters the lake: one row of table `episode_facts`.

The measurements are pure: the same episode gives the same row under the same `RULES_VERSION`.
They never fail on damaged data, for damage is what they look for. One pass over a 48-step
episode of 128 × 128 pictures takes under 10 ms, most of it decoding.
"""

import numpy as np

from worldvla.episodes.episode import Episode
from worldvla.quality.motion import clock_facts, motion_facts, moved
from worldvla.quality.pictures import picture_facts
from worldvla.quality.rules import RULES_VERSION, broken
from worldvla.sim import suites

TOLERANCE = 1e-6
ACTION_SIZE = 7


def measure(episode: Episode) -> dict:
    """The row of `episode_facts`: every fact, and the names of the rules that they break."""
    facts = {
        "length": episode.length,
        "arrays_disagreeing": arrays_disagreeing(episode),
        "chunk_remainder": _remainder(episode.length, episode.settings.get("chunk")),
        **picture_facts(episode.images, episode.length + 1, moved(episode), episode.camera_stride),
        **clock_facts(episode.timestamps, episode.settings.get("fps")),
        **motion_facts(episode),
        **outcome_facts(episode),
        **instruction_facts(episode.suite, episode.task, episode.instruction),
    }
    return {
        "episode_id": episode.episode_id,
        "rules_version": RULES_VERSION,
        **facts,
        "errors": [rule.name for rule in broken(facts, "error")],
        "warnings": [rule.name for rule in broken(facts, "warning")],
    }


def arrays_disagreeing(episode: Episode) -> int:
    """How many arrays have another shape than T actions ask for."""
    states = episode.length + 1
    shapes = [np.shape(array) for array in (episode.proprio, episode.reward, episode.progress)]
    wrong = sum(not shape or shape[0] != states for shape in shapes)
    wrong += len(np.shape(episode.proprio)) != 2
    wrong += np.shape(episode.actions) != (episode.length, ACTION_SIZE)
    return wrong + (episode.timestamps is not None and np.shape(episode.timestamps) != (states,))


def outcome_facts(episode: Episode) -> dict:
    """Rewards and progress: are they what they may be, do they agree, does the episode end where it should."""
    reward, progress = (np.asarray(a, np.float64).ravel() for a in (episode.reward, episode.progress))
    both = min(len(reward), len(progress))
    success = reward > 0.5
    first = int(np.argmax(success)) if success.any() else None
    return {
        "rewards_not_binary": int((~np.isin(reward, (0.0, 1.0))).sum()),
        "progress_out_of_range": int((~((progress >= 0) & (progress <= 1))).sum()),
        "rewards_contradicting_progress": int((success[:both] != (progress[:both] >= 1 - TOLERANCE)).sum()),
        "first_success": first,
        "states_beyond_end": _beyond_end(episode, first),
        "states_success_lost": int((~success[first:]).sum()) if first is not None else None,
    }


def instruction_facts(suite: str, task: str, instruction: str) -> dict:
    """`instruction_task`: the suite's task that the instruction belongs to; null for a suite not known here."""
    words = _words(instruction)
    tasks = suites.tasks(suite) if suite in suites.SUITES else []
    known = {name: _words(suites.instruction(suite, name)) for name in tasks}
    owners = [name for name, text in known.items() if text == words]
    meant = task if task in owners else owners[0] if owners else None
    judged = task in known and bool(words)
    return {
        "instruction_characters": len(words),
        "instruction_task": meant,
        "instruction_foreign": int(meant not in (None, task)) if judged else None,
        "instruction_unknown": int(meant is None) if judged else None,
    }


def _words(text: str | None) -> str:
    return " ".join((text or "").casefold().split())


def _remainder(length: int, chunk: object) -> int | None:
    return length % chunk if _is_count(chunk) else None


def _beyond_end(episode: Episode, first: int | None) -> int | None:
    """Actions after the end that the recording's settings give a success; see `worldvla.sim.rollout.rollout`.

    An episode that begins in a success has no end of its own and runs as long as it may.
    """
    chunk, settle, most = (episode.settings.get(name) for name in ("chunk", "settle", "max_steps"))
    if not first or not _is_count(chunk) or not isinstance(settle, int):
        return None
    end = (-(-first // chunk) + settle) * chunk
    return max(episode.length - (min(end, most) if _is_count(most) else end), 0)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
