"""The notifier `webhook`: a POST of the notification as JSON to the address in `WORLDVLA_WEBHOOK_URL`.

The address is a secret (whoever has it can write to the channel), so it comes from the
environment and stands in no message. The body's `text` is what Slack, Mattermost and their
kin show; the other fields are for programs.
"""

import json
import os
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


class Webhook:
    """Raises `UserError` where the variable is missing or is no address, `OSError` where nothing was delivered."""

    def __init__(self, pauses: tuple[float, ...] = PAUSES) -> None:
        address = os.environ.get(VARIABLE, "")
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"nightly.notify names webhook: set {VARIABLE} to an http:// or https:// address")
        self._address = address
        self._pauses = pauses

    def send(self, notification: Notification) -> None:
        body = json.dumps(notification.as_dict(), ensure_ascii=False).encode()
        for pause in (*self._pauses, None):
            problem = self._post(body)
            if problem is None:
                return
            if pause is None or problem.startswith("4"):
                raise OSError(f"the webhook was not delivered: {problem}")
            time.sleep(pause)

    def _post(self, body: bytes) -> str | None:
        """What went wrong, beginning with the HTTP status where the server answered; the address is in none of it."""
        request = urllib.request.Request(self._address, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                return None
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.reason}"
        except urllib.error.URLError as error:
            return f"no answer: {error.reason}"
        except OSError as error:
            return f"no answer: {type(error).__name__}"
