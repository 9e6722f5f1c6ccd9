"""Data Docs: static pages of what was expected and found, one for each suite and node of the asset graph.

They lie under the project's home in `quality/`, `site/index.html` leads to all. A node's newest
result replaces the one before it, and of all only the newest `KEPT` stay, so that the site does
not grow for ever. One process at a time writes.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KEPT = 400
SITE = "quality"


@contextmanager
def context(folder: Path | None) -> Iterator[Any]:
    """A Great Expectations context that forgets; with a folder, its results and pages are kept there."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import; a suite must not reach for the network
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    defaults = InMemoryStoreBackendDefaults()
    if folder is not None:
        defaults.stores[defaults.validation_results_store_name]["store_backend"] = _files(folder / "results")
        defaults.stores[defaults.expectations_store_name]["store_backend"] = _files(folder / "suites")
        defaults.data_docs_sites = {
            SITE: {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": _files(folder / "site"),
                "site_index_builder": {"module_name": "worldvla.quality.docs_index", "class_name": "Index"},
            }
        }
    config = DataContextConfig(
        store_backend_defaults=defaults, progress_bars=ProgressBarsConfig(globally=False), analytics_enabled=False
    )
    with _writing(folder):
        yield gx.get_context(mode="ephemeral", project_config=config)


def run_identifier(label: str) -> Any:
    from great_expectations.core.run_identifier import RunIdentifier

    return RunIdentifier(run_name=label, run_time=datetime.now(UTC))


def build(gx_context: Any, folder: Path, suites: Sequence[str], label: str) -> dict[str, Path]:
    """Writes the pages of the newest results that these suites have for a node, and the index; returns the pages."""
    for suite in suites:
        _prune(folder / "results", suite, label)
    newest = {}
    for key in sorted(gx_context.validation_results_store.list_keys(), key=lambda key: key.run_id.run_time):
        if key.run_id.run_name == label and key.expectation_suite_identifier.name in suites:
            newest[key.expectation_suite_identifier.name] = key
    site = folder / "site"
    expected = [
        key.expectation_suite_identifier
        for name, key in newest.items()
        if not _is_newer(site / "expectations" / f"{name}.html", Path(__file__).parent)
    ]
    gx_context.build_data_docs(resource_identifiers=[*newest.values(), *expected])
    pages = {name: site.joinpath("validations", *key.to_tuple()).with_suffix(".html") for name, key in newest.items()}
    if missing := [name for name in suites if name not in pages or not pages[name].exists()]:
        raise RuntimeError(f"Great Expectations wrote no page of suite {', '.join(missing)} in {site}")
    return pages


def _is_newer(page: Path, sources: Path) -> bool:
    """Whether the page that lists a suite's expectations was written after the code that makes them."""
    changed = max(path.stat().st_mtime for path in sources.rglob("*.py"))
    return page.exists() and page.stat().st_mtime > changed


def _prune(results: Path, suite: str, label: str) -> None:
    """Removes the node's older results of this suite, and the oldest of all beyond `KEPT`.

    The index builder then removes the pages of results that are gone.
    """
    for _, stale in _by_age(results.glob(f"{suite}/{label}/*"))[:-1]:
        shutil.rmtree(stale)
    for _, old in _by_age(results.glob("*/*/*"))[:-KEPT]:
        shutil.rmtree(old)


def _by_age(folders: Iterable[Path]) -> list[tuple[str, Path]]:
    """Result folders, the oldest first: their names are instants."""
    return sorted((folder.name, folder) for folder in folders)


def _files(folder: Path) -> dict[str, str]:
    return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}


@contextmanager
def _writing(folder: Path | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "site.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
