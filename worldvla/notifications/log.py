"""The notifier `log`: a line in the home's `logs/notifications.jsonl`, and a warning of the process that runs it."""

import json
import logging

from worldvla.home import home
from worldvla.notifications.notification import Notification

FILE_NAME = "notifications.jsonl"


class Log:
    def send(self, notification: Notification) -> None:
        logging.getLogger("worldvla.notifications").warning(notification.text)
        folder = home() / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        # One write of one line in append mode: lines of several processes do not mix.
        with (folder / FILE_NAME).open("a") as file:
            file.write(json.dumps(notification.as_dict(), ensure_ascii=False) + "\n")
