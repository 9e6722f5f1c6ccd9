"""A lake on an object store, `s3://bucket/prefix`: what differs there from a folder.

A store has no lock that other machines see. What it has is a conditional put: Lance writes
the manifest of a version only where there is none, so of two commits of one version one
fails. Lance would then rebase a plain append onto what the other writer committed, and both
would hold the same keys. An insert is therefore committed as a `Merge` that names every
fragment of the version whose keys were read: it fails when anything was committed since,
and the caller reads the keys again. Writers of one machine also take turns by a file lock.

Endpoint and keys come from the environment alone (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, …), as Lance reads them.
"""

import hashlib
from pathlib import Path

import lance
import pyarrow as pa
from lance.commit import CommitConflictError
from lance.fragment import write_fragments

from worldvla.errors import UserError
from worldvla.home import home


def is_remote(root: Path | str) -> bool:
    return "://" in str(root)


def lock_folder(root: str) -> Path:
    """Where this machine's writers of the lake take turns."""
    return home() / "locks" / hashlib.sha256(root.encode()).hexdigest()[:16]


def exists(uri: str) -> bool:
    """Whether the table has a version; raises `UserError` where the store does not answer."""
    try:
        lance.dataset(uri)
    except (ValueError, OSError) as error:
        if "was not found" in str(error):
            return False
        raise unreachable(uri, error) from error
    return True


def create(uri: str, empty: pa.Table) -> None:
    """Makes the first version, unless another machine just did."""
    try:
        lance.write_dataset(empty, uri, mode="create")
    except OSError:
        if not exists(uri):
            raise


def append_unless_changed(dataset: lance.LanceDataset, rows: pa.Table, properties: dict[str, str]) -> int | None:
    """Adds the rows right after the version that `dataset` stands at: the new version.

    None when another writer committed meanwhile. The files written for nothing are orphans,
    which `cleanup_old_versions` removes.
    """
    present = [fragment.metadata for fragment in dataset.get_fragments()]
    added = write_fragments(rows, dataset.uri, mode="append", schema=rows.schema)
    for number, fragment in enumerate(added, start=max((item.id for item in present), default=-1) + 1):
        fragment.id = number
    transaction = lance.Transaction(
        read_version=dataset.version,
        operation=lance.LanceOperation.Merge([*present, *added], dataset.lance_schema),
        transaction_properties=properties,
    )
    try:
        return lance.LanceDataset.commit(dataset.uri, transaction, max_retries=0).version
    except CommitConflictError:
        return None


def unreachable(uri: str, error: Exception) -> UserError:
    """What to look at when the store refuses or does not answer. Lance's own words name no key."""
    said = " ".join(str(error).split())[:500]
    return UserError(
        f"the lake at {uri} cannot be read; look at WORLDVLA_LAKE, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, "
        f"AWS_SECRET_ACCESS_KEY and AWS_REGION: {said}"
    )
