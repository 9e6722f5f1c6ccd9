"""The notifier `webhook`: a POST of the notification as JSON to the address in `WORLDVLA_WEBHOOK_URL`.

The address is a secret (whoever has it can write to the channel), so it comes from the
environment and stands in no message. The body's `text` is what Slack, Mattermost and their
kin show; the other fields are for programs.
"""

import http.client
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from worldvla.errors import UserError
from worldvla.notifications.notification import Notification

VARIABLE = "WORLDVLA_WEBHOOK_URL"
TIMEOUT_SECONDS = 10.0
# Pauses before the second and the third try.
PAUSES = (1.0, 4.0)
# What one notification may take: all tries, the look-up of the host's name and a server that answers byte by byte
# together. Dagster ends a tick after 60 s, and a tick may have something to tell of several campaigns.
PATIENCE_SECONDS = 20.0
# After a notification that could not be delivered the next ones wait for nothing so long.
QUIET_SECONDS = 60.0
PRINTABLE = re.compile(r"[!-~]+")

# By address: the time (`time.monotonic`) until which it is not asked again. A tick makes a notifier a campaign.
_quiet_until: dict[str, float] = {}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: whoever follows one sends a GET without the notification and takes that for delivered."""

    def redirect_request(self, *arguments: object) -> None:
        return None


class Webhook:
    """Raises `UserError` where the variable is missing or is no address, `OSError` where nothing was delivered."""

    def __init__(self, pauses: tuple[float, ...] = PAUSES, patience: float = PATIENCE_SECONDS) -> None:
        address = os.environ.get(VARIABLE, "").strip()
        if not _is_address(address):
            raise UserError(
                f"nightly.notify names webhook: set {VARIABLE} to an http:// or https:// address without blanks, "
                "user and password"
            )
        self._address = address
        self._pauses = pauses
        self._patience = patience

    def send(self, notification: Notification) -> None:
        if time.monotonic() < _quiet_until.get(self._address, 0.0):
            raise OSError("the webhook was not delivered: a moment ago it could not be, so it was not tried")
        body = json.dumps(notification.as_dict(), ensure_ascii=False).encode()
        ended: list[str | None] = []
        # No timeout of a socket's bounds the look-up of a name, nor a whole answer.
        posting = threading.Thread(target=lambda: ended.append(self._deliver(body)), daemon=True)
        posting.start()
        posting.join(self._patience)
        problem = ended[0] if ended else f"no answer within {self._patience:g} s"
        if problem is None:
            return
        if not _is_final(problem):
            _quiet_until[self._address] = time.monotonic() + QUIET_SECONDS
        raise OSError(f"the webhook was not delivered: {problem}")

    def _deliver(self, body: bytes) -> str | None:
        """What went wrong the last time that it was tried."""
        problem = self._post(body)
        for pause in self._pauses:
            if problem is None or _is_final(problem):
                break
            time.sleep(pause)
            problem = self._post(body)
        return problem

    def _post(self, body: bytes) -> str | None:
        """What went wrong, beginning with the HTTP status where the server answered; the address is in none of it."""
        request = urllib.request.Request(self._address, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS):
                return None
        except urllib.error.HTTPError as error:
            leads = f", a redirect; set {VARIABLE} to where it leads" if error.code // 100 == 3 else ""
            return f"{error.code} {error.reason}{leads}"
        except urllib.error.URLError as error:
            return f"no answer: {error.reason}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            return f"no answer: {type(error).__name__}"


def _is_address(text: str) -> bool:
    """Whether urllib can post to it: what it cannot read, it would repeat in its error."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and port != 0
    return bool(usable and PRINTABLE.fullmatch(text))


def _is_final(problem: str) -> bool:
    """Whether the server answered that it does not take it, or not there."""
    return problem.startswith(("3", "4"))
