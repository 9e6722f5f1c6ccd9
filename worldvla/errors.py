"""Errors that a user can cause and mend."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_USER_ERROR = 2


class UserError(Exception):
    """The message names the file or field at fault and the fix; it is shown without a stack trace."""


@contextmanager
def told() -> Iterator[None]:
    """Ends the process with status 2 and one line on standard error where a `UserError` is raised: for `python -m`."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
