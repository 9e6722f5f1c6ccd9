"""From the names in `nightly.notify` to notifiers: the project's own, or anybody's by its import path."""

import importlib
from collections.abc import Iterable

from worldvla.errors import UserError
from worldvla.notifications.log import Log
from worldvla.notifications.notification import Notifier
from worldvla.notifications.webhook import Webhook

BUILT_IN = {"log": Log, "webhook": Webhook}


def notifiers(names: Iterable[str]) -> tuple[list[tuple[str, Notifier]], list[str]]:
    """The notifiers that can be made, each with its name, and what is wrong with the others."""
    made, problems = [], []
    for name in names:
        try:
            made.append((name, notifier(name)))
        except UserError as error:
            problems.append(str(error))
    return made, problems


def notifier(name: str) -> Notifier:
    """`log`, `webhook`, or `package.module:attribute`: a class without arguments, or a function that makes one.

    Raises `UserError` naming what is wrong.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    module, separator, attribute = name.partition(":")
    if not separator:
        raise UserError(
            f"nightly.notify: {name!r} is none of {', '.join(BUILT_IN)}; write others as package.module:attribute"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)()
    except (
        Exception,
        SystemExit,
    ) as error:  # Another's code: none of its errors may keep the next notifier from being made.
        raise UserError(f"nightly.notify: {name!r} cannot be made: {type(error).__name__}: {error}") from None
    if not callable(getattr(found, "send", None)):
        raise UserError(f"nightly.notify: {name!r} has no method send(notification)")
    return found
