"""How many frames/s an episode was recorded at."""

from worldvla.episodes.episode import ANNOTATED, Episode

SIMULATOR_FPS = 20.0  # the control period of ManiSkill and LIBERO here is 1/20 s


def recorded_rate(episode: Episode) -> float | None:
    """Frames/s: as its recording says, or the simulators' own; None where nothing tells it."""
    if rate := episode.settings.get("fps"):
        return float(rate)
    return None if episode.source in ANNOTATED else SIMULATOR_FPS
