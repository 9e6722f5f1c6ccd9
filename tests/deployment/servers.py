"""Real servers for the tests: PostgreSQL from the system's packages, SeaweedFS (S3) from the environment.

Both run on ports of 127.0.0.1, under folders of their own, and end with the test session.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_SECONDS = 60


@dataclass(frozen=True)
class Postgres:
    """A running server; `url` is the address of one of its databases."""

    port: int
    password: str
    user: str = "worldvla"

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Makes a database and returns its address."""
        import psycopg2

        connection = psycopg2.connect(self.url("postgres"))
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {database}")
        connection.close()
        return self.url(database)


@dataclass(frozen=True)
class ObjectStore:
    """A running S3 server with one bucket, and the environment that reaches it."""

    endpoint: str
    bucket: str
    secret: str
    environment: dict[str, str] = field(default_factory=dict)

    def address(self, prefix: str) -> str:
        return f"s3://{self.bucket}/{prefix}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """PostgreSQL with password authentication, run by an unprivileged user."""
    initdb, server = _postgres_binary("initdb"), _postgres_binary("postgres")
    folder = Path(tempfile.mkdtemp(prefix="worldvla-postgres-"))
    database = Postgres(free_port(), f"pg-secret-{secrets.token_hex(12)}")
    password = folder / "password"
    password.write_text(database.password)
    unprivileged = _hand_over(folder, password)
    try:
        subprocess.run(
            [initdb, "-D", folder / "data", "-U", database.user, "-A", "scram-sha-256", "--pwfile", password]
            + ["--no-sync", "-E", "UTF8", "--locale", "C"],
            **unprivileged,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        settings = {
            "port": database.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "fsync": "off",
            "shared_buffers": "16MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with _running([server, "-D", folder / "data", *options], folder / "log", signal.SIGINT, unprivileged) as alive:
            _wait(lambda: _accepts(database), alive, folder / "log")
            yield database
    finally:
        shutil.rmtree(folder)


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """SeaweedFS's S3 gateway with its master, filer and volume server in one process."""
    program = Path(sysconfig.get_path("scripts")) / "weed"
    if not program.exists():
        pytest.fail(f"no S3 server: {program} is missing; requirements.lock names it, `make setup` installs it")
    folder = Path(tempfile.mkdtemp(prefix="worldvla-s3-"))
    ports = {name: _port_pair() for name in ("master", "volume", "filer", "s3")}
    secret = f"s3-secret-{secrets.token_hex(12)}"
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    keys = {"AWS_ACCESS_KEY_ID": "worldvla", "AWS_SECRET_ACCESS_KEY": secret}
    store = ObjectStore(
        endpoint,
        "lakes",
        secret,
        {**keys, "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"},
    )
    command = [program, f"-logdir={folder}", "server", "-filer", "-s3", f"-dir={folder}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=128"]
    # By default a disk that is 99 % full takes no object, however large it is.
    command += ["-volume.max=16", "-volume.minFreeSpace=256MiB", "-volume.preStopSeconds=1"]
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    try:
        with _running(command, folder / "log", signal.SIGTERM, {"env": os.environ | keys}) as alive:
            _wait(lambda: _takes_objects(store), alive, folder / "log")
            yield store
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _port_pair() -> int:
    """A free port whose port 10,000 above, SeaweedFS's for gRPC, is free too."""
    while True:
        port = 11000 + secrets.randbelow(20000)
        try:
            for number in (port, port + 10000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
            return port
        except OSError:
            continue


def _postgres_binary(name: str) -> str:
    """From the PATH, or where Debian keeps the servers: /usr/lib/postgresql/VERSION/bin."""
    found = [shutil.which(name), *sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), reverse=True)]
    for path in filter(None, found):
        return path
    pytest.skip(
        f"no PostgreSQL server: {name} is neither in the PATH nor in /usr/lib/postgresql/*/bin; "
        "as root, `make test` installs the package postgresql"
    )


def _hand_over(*paths: Path) -> dict:
    """PostgreSQL refuses to run as root: gives the paths to a user who may not do much; how to run as that user."""
    if os.geteuid() != 0:
        return {}
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]
    for path in paths:
        os.chown(path, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": paths[0]}


@contextmanager
def _running(command: list, log: Path, end: signal.Signals, options: dict) -> Iterator[Callable[[], bool]]:
    """The process of a command, asked to end by a signal; yields whether it is alive."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, **options
        )
    try:
        yield lambda: process.poll() is None
    finally:
        process.send_signal(end)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(ready: Callable[[], bool], alive: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if not alive() or time.monotonic() > deadline:
            free = shutil.disk_usage(log.parent).free // 2**20
            raise RuntimeError(f"the server does not serve; {free} MiB are free at {log}:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)


def _accepts(database: Postgres) -> bool:
    import psycopg2

    try:
        psycopg2.connect(database.url("postgres")).close()
    except psycopg2.OperationalError:
        return False
    return True


def client(store: ObjectStore):  # noqa: ANN201  (botocore makes the class at run time)
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name="us-east-1",
        aws_access_key_id=store.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=store.secret,
        config=Config(retries={"max_attempts": 1}),
    )


def _takes_objects(store: ObjectStore) -> bool:
    """Whether the store answers, has its bucket and writes to it: on a full disk every test would wait for retries."""
    from botocore.exceptions import BotoCoreError, ClientError

    s3 = client(store)
    try:
        if store.bucket not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=store.bucket)
        s3.put_object(Bucket=store.bucket, Key="started", Body=b"started")
    except (BotoCoreError, ClientError):
        return False
    return True
