"""Runs through a Dagster that is already running, by GraphQL: they show in its UI, queue in its pools, obey its limits.

Asked to run assets of a campaign, it waits for whatever run of that campaign is under way
(and takes it for its own where it is the same), submits a run, and follows it to its end.
Interrupted, it leaves the run where it is: it belongs to the server, and the same command
waits for it again. The server must serve this project at this code, over this lake.
"""

import sys
import time
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import requests
from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError
from gql import Client, gql
from gql.transport.exceptions import TransportConnectionFailed, TransportError
from gql.transport.requests import RequestsHTTPTransport

from assets.partitions import CAMPAIGNS, ITERATIONS, LOOP, partition_key
from pipelines import queries
from pipelines.failures import Check, Problem, Step, problems
from pipelines.jobs import PLACES, campaign_job, iteration_job, places
from pipelines.runs import UNFINISHED, place, tags_of
from worldvla.errors import UserError
from worldvla.planner.graph import GRAPH

REQUEST_SECONDS = 60
POLL_SECONDS = 1.0
# So long a web server may be busy or begin anew.
PATIENCE_SECONDS = 60.0


def execute(url: str, campaign: str, iteration: str, assets: list[str]) -> tuple[str, bool, list[Problem]]:
    """The id of the run that made these assets of one partition, whether it succeeded, and what failed."""
    server = Server(url)
    for run in server.unfinished(campaign):
        # What it has published by now is not asked for any more.
        same = run["iteration"] == iteration and set(assets) <= set(run["assets"])
        say(f"  run {run['id']} is under way ({run['status'].lower()}): waiting for it, {server.run_page(run['id'])}")
        outcome = server.follow(run["id"], len(run["assets"]))
        if same:
            return (run["id"], *outcome)
    run_id = server.submit(campaign, iteration, assets)
    say(f"  run {run_id}: {server.run_page(run_id)}")
    return (run_id, *server.follow(run_id, len(assets)))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Server:
    """A Dagster web server that serves this project; `UserError` says where it does not."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"--via {url}: give the web server's address, for example http://127.0.0.1:3000")
        self._url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._transport = RequestsHTTPTransport(url=f"{self._url}/graphql", timeout=REQUEST_SECONDS)
        self._repository = self._check()

    def run_page(self, run_id: str) -> str:
        return f"{self._url}/runs/{run_id}"

    def unfinished(self, campaign: str) -> list[dict[str, Any]]:
        """Runs of the campaign that are queued or under way, oldest first: id, status, iteration, assets."""
        statuses = [status.value for status in UNFINISHED]
        found = []
        for tags in tags_of(campaign):
            asked = [{"key": key, "value": value} for key, value in tags.items()]
            found += self._ask(queries.RUNS, filter={"tags": asked, "statuses": statuses})["runsOrError"]["results"]
        return [
            {
                "id": run["runId"],
                "status": run["status"],
                "iteration": (place({tag["key"]: tag["value"] for tag in run["tags"]}) or ("", ""))[1],
                "assets": sorted("/".join(key["path"]) for key in run["assetSelection"] or ()),
            }
            for run in sorted(found, key=lambda run: run["creationTime"])
        ]

    def submit(self, campaign: str, iteration: str, assets: list[str]) -> str:
        """Queues a run; returns its id."""
        self._add_partition(CAMPAIGNS.name, campaign)
        if iteration:
            self._add_partition(ITERATIONS.name, iteration)
        definition = LOOP if iteration else CAMPAIGNS
        tags = definition.get_tags_for_partition_key(partition_key(campaign, iteration))
        client = DagsterGraphQLClient(self._url, transport=self._transport)
        try:
            return client.submit_job_execution(
                (iteration_job if iteration else campaign_job).name,
                repository_location_name=self._repository["repositoryLocationName"],
                repository_name=self._repository["repositoryName"],
                tags=tags,
                asset_selection=assets,
            )
        except DagsterGraphQLClientError as error:
            why = ": ".join(map(str, [*error.args, *([error.body] if error.body else [])]))
            raise UserError(f"--via {self._url}: the server refused the run: {why}") from None

    def follow(self, run_id: str, steps: int) -> tuple[bool, list[Problem]]:
        """Waits for the run's end and shows how far it is; says whether it succeeded, and what failed."""
        from tqdm import tqdm

        events = _Events()
        try:
            with tqdm(total=steps, desc="  assets", file=sys.stderr, unit="asset", disable=None) as bar:
                status, heard = "", time.monotonic()
                while status not in ("SUCCESS", "FAILURE", "CANCELED"):
                    time.sleep(POLL_SECONDS if status else 0)
                    try:
                        # The status before the events: what the run said last is read after it ended.
                        now = self._ask(queries.STATUS, runId=run_id)["runOrError"].get("status", "CANCELED")
                        bar.update(self._read(run_id, events))
                    except UserError:
                        if time.monotonic() - heard > PATIENCE_SECONDS:
                            raise
                        status = status or "UNKNOWN"
                        continue
                    status, heard = now, time.monotonic()
                    bar.set_postfix_str(status.lower())
        except (KeyboardInterrupt, UserError):
            say(f"run {run_id} goes on at {self.run_page(run_id)}; the same command waits for it, its page ends it")
            raise
        found = problems(events.steps, events.checks)
        if status == "CANCELED":
            found.append(Problem("", f"the run was terminated, see {self.run_page(run_id)}"))
        elif status == "FAILURE" and not found:
            found.append(Problem("", events.end or f"the run broke off, see {self.run_page(run_id)}"))
        return status == "SUCCESS", found

    def _read(self, run_id: str, events: "_Events") -> int:
        """Takes in the run's events since the last time; returns how many steps succeeded in them."""
        succeeded = 0
        while True:
            page = self._ask(queries.EVENTS, runId=run_id, after=events.cursor)["logsForRun"]
            succeeded += events.take(page.get("events", ()))
            events.cursor = page.get("cursor", events.cursor)
            if not page.get("hasMore"):
                return succeeded

    def _check(self) -> dict[str, str]:
        """The selector of this project's repository, after making sure that it is this project's."""
        answer = self._ask(queries.IDENTITY)
        for repository in answer["repositoriesOrError"].get("nodes", ()):
            entries = [entry for job in repository["jobs"] for entry in job["metadataEntries"]]
            theirs = {entry["label"]: entry.get("text") for entry in entries if entry["label"] in PLACES}
            if theirs:
                self._compare(theirs, repository["assetNodes"])
                self._warn_without_daemon(answer["instance"])
                name, location = repository["name"], repository["location"]["name"]
                return {"repositoryName": name, "repositoryLocationName": location}
        broken = [
            entry["locationOrLoadError"]["message"].strip().splitlines()[0]
            for entry in answer["workspaceOrError"].get("locationEntries", ())
            if (entry["locationOrLoadError"] or {}).get("__typename") == "PythonError"
        ]
        why = f"its code location does not load: {'; '.join(broken)}" if broken else "it serves another project"
        raise UserError(f"--via {self._url}: {why}; `make ui` serves this one")

    def _compare(self, theirs: dict[str, str], nodes: list[dict[str, Any]]) -> None:
        for name, ours in places().items():
            if theirs.get(name) != ours:
                raise UserError(
                    f"--via {self._url}: it serves another {name.rpartition('/')[2]}: {theirs.get(name)}, "
                    f"and this command works on {ours}; give both the same {PLACES[name]}"
                )
        versions = {node["assetKey"]["path"][-1]: node["opVersion"] for node in nodes}
        own = {name: None if node.feedback_from else node.code_version for name, node in GRAPH.items()}
        if versions != own:
            differing = sorted(name for name in versions.keys() | own.keys() if versions.get(name) != own.get(name))
            raise UserError(
                f"--via {self._url}: it has loaded other code ({', '.join(differing)} differ); "
                "reload its code location in the UI, or restart it"
            )

    def _warn_without_daemon(self, instance: dict[str, Any]) -> None:
        daemon = instance["daemonHealth"]["daemonStatus"]
        if instance["runQueuingSupported"] and not daemon["healthy"]:
            say(f"the daemon of {self._url} is not running: runs stay queued until it does (`make ui` starts both)")

    def _add_partition(self, name: str, key: str) -> None:
        result = self._ask(queries.ADD_PARTITION, repository=self._repository, name=name, key=key)
        answer = result["addDynamicPartition"]
        if answer["__typename"] not in ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"):
            raise UserError(f"--via {self._url}: the server refused partition {key}: {answer.get('message')}")

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        try:
            return Client(transport=self._transport).execute(gql(query), variable_values=variables)
        except (TransportConnectionFailed, requests.exceptions.ConnectionError):
            raise UserError(
                f"--via {self._url}: nobody answers there; start the server with `make ui`, or leave --via out"
            ) from None
        except (TransportError, requests.exceptions.RequestException) as error:
            raise UserError(
                f"--via {self._url}: this is no Dagster web server of version {dg.__version__}: {str(error)[:200]}"
            ) from None


class _Events:
    """What a run's events have told so far."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.steps: list[Step] = []
        self.checks: list[Check] = []
        self.end = ""

    def take(self, events: list[dict[str, Any]]) -> int:
        succeeded = 0
        for event in events:
            kind = event["__typename"]
            if kind == "ExecutionStepSuccessEvent":
                succeeded += 1
            elif kind == "ExecutionStepFailureEvent":
                error = event["error"]["cause"] or event["error"]
                stack = tuple(error["stack"])
                self.steps.append(Step(event["stepKey"], error["className"] or "", error["message"], stack))
            elif kind == "AssetCheckEvaluationEvent":
                told = event["evaluation"]
                asset = "/".join(told["assetKey"]["path"])
                check = Check.of(told["success"], told["severity"], told["checkName"], asset, told["description"])
                if check:
                    self.checks.append(check)
            elif kind == "RunFailureEvent":
                self.end = event["message"]
        return succeeded
