"""Notifications: what they say, a real web server that receives them, and notifiers by anybody."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from worldvla.notifications import webhook
from worldvla.notifications.log import FILE_NAME
from worldvla.notifications.notification import Notification, send_all
from worldvla.notifications.registry import notifier, notifiers
from worldvla.notifications.webhook import VARIABLE, Webhook

NOTIFICATION = Notification(
    kind="gate",
    campaign="tabletop",
    iteration="0003",
    reason="reward alignment 0.52 < 0.60",
    command="worldvla loop --campaign tabletop --iterations 4",
    asset="alignment",
    run_id="8f2e",
)
HERE = "tests.notifications.test_notifications"


class Kept:
    """What somebody else's notifier may look like."""

    def __init__(self) -> None:
        self.got: list[Notification] = []

    def send(self, notification: Notification) -> None:
        self.got.append(notification)


class Broken:
    def send(self, notification: Notification) -> None:
        raise RuntimeError("no paper")


class Misconfigured:
    def __init__(self) -> None:
        self.token = {}["PAGER_TOKEN"]


class Server(ThreadingHTTPServer):
    """Answers with the statuses it is given, then 200, `delay` seconds after each line; keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.delay = 0.0
        self.bodies: list[dict] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/secret-token"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert self.path == "/hooks/secret-token" and self.headers["Content-Type"] == "application/json"
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Location", "/login")
        for line in range(10 if self.server.delay else 0):
            self.send_header(f"X-Line-{line}", "slow")
            self.flush_headers()
            time.sleep(self.server.delay)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(VARIABLE, server.address)
        monkeypatch.setattr(webhook, "_quiet_until", {})
        yield server
        server.shutdown()


def test_the_text_has_the_cause_and_the_command():
    assert NOTIFICATION.text == (
        "worldvla: tabletop iteration 0003 stopped at a gate in alignment (run 8f2e)\n"
        "reward alignment 0.52 < 0.60\n"
        "to go on: worldvla loop --campaign tabletop --iterations 4"
    )


def test_log_appends_a_line_that_programs_can_read(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    for _ in range(2):
        notifier("log").send(NOTIFICATION)
    lines = (tmp_path / "logs" / FILE_NAME).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [NOTIFICATION.as_dict()] * 2
    assert "reward alignment 0.52 < 0.60" in caplog.text


def test_a_webhook_posts_every_field_and_a_text(server):
    notifier("webhook").send(NOTIFICATION)
    assert server.bodies == [NOTIFICATION.as_dict()]
    assert server.bodies[0]["text"] == NOTIFICATION.text and server.bodies[0]["asset"] == "alignment"


def test_a_webhook_that_fails_for_a_moment_is_tried_again(server):
    server.statuses = [503, 500]
    Webhook(pauses=(0.0, 0.0)).send(NOTIFICATION)
    assert len(server.bodies) == 3


def test_a_webhook_that_is_refused_is_not_tried_again_and_keeps_its_address_secret(server):
    server.statuses = [404]
    with pytest.raises(OSError, match="not delivered: 404") as refused:
        Webhook(pauses=(0.0, 0.0)).send(NOTIFICATION)
    assert len(server.bodies) == 1 and "secret-token" not in str(refused.value)


def test_a_webhook_that_nobody_answers_says_so(server, monkeypatch):
    address = server.address
    server.shutdown()
    server.server_close()
    monkeypatch.setenv(VARIABLE, address)
    with pytest.raises(OSError, match="no answer") as silent:
        Webhook(pauses=()).send(NOTIFICATION)
    assert "secret-token" not in str(silent.value)


def test_a_webhook_that_is_redirected_was_not_delivered(server):
    server.statuses = [302]
    with pytest.raises(OSError, match="not delivered: 302 Found, a redirect; set WORLDVLA_WEBHOOK_URL"):
        Webhook(pauses=(0.0, 0.0)).send(NOTIFICATION)
    assert len(server.bodies) == 1


def test_a_webhook_that_answers_byte_by_byte_holds_nobody_up_and_is_left_alone_for_a_while(server):
    server.delay = 1.0
    begin = time.monotonic()
    with pytest.raises(OSError, match=r"not delivered: no answer within 0\.5 s"):
        Webhook(patience=0.5).send(NOTIFICATION)
    for _ in range(10):
        with pytest.raises(OSError, match="not tried"):
            Webhook(patience=0.5).send(NOTIFICATION)
    assert time.monotonic() - begin < 2 and len(server.bodies) == 1


@pytest.mark.parametrize(
    "address",
    [
        "",
        "file:///etc/passwd",
        "hooks.example",
        "http://hooks.example/secret token",
        "http://hooks.example/s\u00e9cret",
        "http://hooks.example:secret/",
        "http://[::1/secret",
        "http://me:secret@hooks.example/",
    ],
)
def test_a_webhook_without_an_address_names_the_variable(monkeypatch, address):
    monkeypatch.setenv(VARIABLE, address)
    made, problems = notifiers(["webhook", "log"])
    assert [name for name, _ in made] == ["log"]
    assert len(problems) == 1 and VARIABLE in problems[0]
    assert not address or (address not in problems[0] and "cret" not in problems[0])


def test_one_that_fails_does_not_stop_the_next():
    made, problems = notifiers([f"{HERE}:Broken", f"{HERE}:Kept"])
    assert problems == []
    assert send_all(made, NOTIFICATION) == [f"notifier {HERE}:Broken: RuntimeError: no paper"]
    assert made[1][1].got == [NOTIFICATION]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("pager", "'pager' is none of log, webhook"),
        ("no.such.module:Pager", "No module named"),
        (f"{HERE}:Pager", "has no attribute 'Pager'"),
        (f"{HERE}:Notification", "cannot be made"),
        (f"{HERE}:Misconfigured", "cannot be made: KeyError: 'PAGER_TOKEN'"),
        ("builtins:dict", "has no method send"),
    ],
)
def test_a_notifier_that_cannot_be_made_is_named(name, problem):
    made, problems = notifiers([name, "log"])
    assert [one for one, _ in made] == ["log"]
    assert len(problems) == 1 and problem in problems[0] and name in problems[0]
