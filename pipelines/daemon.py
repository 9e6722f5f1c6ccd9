"""Whether anything carries out schedules, sensors and queued runs of an instance."""

import dagster as dg

from pipelines import clock

# Each daemon says every half minute that it lives.
SILENCE_SECONDS = 120.0
SCHEDULER = "SCHEDULER"


def daemon_is_alive(instance: dg.DagsterInstance) -> bool:
    heartbeat = instance.get_daemon_heartbeats().get(SCHEDULER)
    return heartbeat is not None and clock.now().timestamp() - heartbeat.timestamp < SILENCE_SECONDS
