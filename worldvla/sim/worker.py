"""A rollout worker: `python -m worldvla.sim.worker FD`, started by `worldvla.sim.workers` alone.

Reads one `RolloutRequest` at a time from the pipe, answers with the `Episode`, with the `UserError`
that it raised, or with the text of any other exception.
"""

import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection

from worldvla.errors import UserError
from worldvla.sim import suites
from worldvla.sim.actors import Actor
from worldvla.sim.protocol import Simulator
from worldvla.sim.rollout import RolloutRequest, rollout


def serve(pipe: Connection) -> None:
    """Until the parent closes its end or is gone."""
    import torch

    torch.set_num_threads(1)
    simulators: dict[tuple[str, str], Simulator] = {}
    actors: dict[bytes, Actor] = {}
    while True:
        try:
            request: RolloutRequest = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            recipe = pickle.dumps(request.actor)
            if recipe not in actors:
                actors[recipe] = request.actor.build()
            where = request.suite, request.task
            if where not in simulators:
                simulators[where] = suites.make(*where)
            answer = rollout(simulators[where], actors[recipe], request)
        except UserError as error:
            answer = error
        except Exception:
            answer = traceback.format_exc()
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return


if __name__ == "__main__":
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Connection(int(sys.argv[1])))
