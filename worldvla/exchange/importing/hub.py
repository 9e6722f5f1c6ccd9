"""Where a dataset's files are: a folder here, or a dataset on the hub, whose files are fetched when asked for."""

import re
from dataclasses import dataclass
from pathlib import Path

from worldvla.errors import UserError

HUB_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Place:
    """`address` is what is kept of where it was; a hub's names the commit."""

    root: Path
    address: str
    hub_id: str | None = None
    commit: str | None = None

    def has(self, name: str) -> bool:
        """Whether the file is there; afterwards it is in `root`. Nothing outside of the dataset is."""
        if ".." in Path(name).parts or Path(name).is_absolute():
            return False
        if (self.root / name).is_file():
            return True
        return self.hub_id is not None and _fetched(self.hub_id, name, self.commit) is not None


def place(path: str, first: str) -> Place:
    """The folder `path`, or the dataset OWNER/NAME[@REVISION] on the hub; `first` is a file that every dataset has.

    Raises `UserError`: neither is there, or the hub cannot be reached.
    """
    folder = Path(path)
    if folder.is_dir():
        return Place(folder, str(folder))
    found = HUB_ID.fullmatch(path)
    if found is None or folder.exists():
        raise UserError(f"{path} is no folder, nor a dataset's id on the hub (OWNER/NAME or OWNER/NAME@REVISION)")
    fetched = _fetched(found["id"], first, found["revision"])
    if fetched is None:
        raise UserError(f"{path}: the dataset on the hub has no {first}")
    root = fetched.parents[first.count("/")]
    return Place(root, f"hub:{found['id']}@{root.name}", found["id"], root.name)


def _fetched(hub_id: str, name: str, revision: str | None) -> Path | None:
    """The file in the hub's cache; None where the dataset has none of this name."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(hf_hub_download(hub_id, name, repo_type="dataset", revision=revision))
    except GatedRepoError as error:
        raise UserError(
            f"{hub_id}: the dataset is gated: accept its terms at https://huggingface.co/datasets/{hub_id} and set "
            "HF_TOKEN"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UserError(f"{hub_id}: no such folder here, and no such dataset on the hub") from error
    except LocalEntryNotFoundError as error:
        raise UserError(f"{hub_id}: no such folder here, and the hub cannot be reached: {error}") from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(f"{hub_id}: {name} cannot be fetched from the hub: {error}") from error
