"""`python -m benchmarks.ending_with PARENT COMMAND …` becomes COMMAND, which the kernel kills when PARENT ends.

A fork of the benchmark's own process could ask the same of the kernel, but Lance's threads do not survive one.
"""

import os
import sys

from pipelines.launch import end_with


def main() -> None:
    parent, *command = sys.argv[1:]
    end_with(int(parent))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
