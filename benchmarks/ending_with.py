"""`python -m benchmarks.ending_with PARENT COMMAND …` becomes COMMAND, which the kernel kills when PARENT ends.

A fork of the benchmark's own process could ask the same of the kernel, but Lance's threads do not survive one.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):
            sys.exit("the process that asked for this command has ended")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
