import json
from pathlib import Path

import lance
import numpy as np
import pytest

from tests.exchange.exporting.exported import CAMERA, export_sans, originals, rows_of, video_frames
from worldvla.errors import UserError
from worldvla.lake.store import Lake


def test_the_tables_hold_what_the_files_of_v30_hold(lake: Lake, tmp_path: Path) -> None:
    export_sans(lake, "lerobot", tmp_path / "files")
    export_sans(lake, "lerobot-lance", tmp_path / "tables")
    rows = rows_of(tmp_path / "files")
    frames = lance.dataset(tmp_path / "tables/frames.lance").to_table()
    assert frames["index"].to_pylist() == list(range(sum(one.length + 1 for one in originals(lake))))
    for name, values in rows.items():
        np.testing.assert_array_equal(np.array(frames[name.replace(".", "_")].to_pylist()), values)
    assert not (tmp_path / "tables/data").exists()
    assert not (tmp_path / "tables/videos").exists()
    assert json.loads((tmp_path / "tables/meta/info.json").read_text())["storage_format"] == "lance"


def test_a_video_is_a_blob_with_the_places_of_its_key_frames(lake: Lake, tmp_path: Path) -> None:
    export_sans(lake, "lerobot", tmp_path / "files")
    export_sans(lake, "lerobot-lance", tmp_path / "tables")
    path = tmp_path / f"files/videos/{CAMERA}/chunk-000/file-000.mp4"
    table = lance.dataset(tmp_path / "tables/videos.lance")
    [row] = table.to_table(columns=[name for name in table.schema.names if name != "video_bytes"]).to_pylist()
    [blob] = table.take_blobs("video_bytes", indices=[0])
    content = path.read_bytes()
    assert blob.read() == content
    assert (row["video_key"], row["chunk_index"], row["file_index"]) == (CAMERA, 0, 0)
    assert row["file_size"] == len(content)
    assert content[row["moov_offset"] + 4 :][:4] == b"moov"
    assert int.from_bytes(content[row["moov_offset"] :][:4], "big") == row["moov_size"]
    keys = [number for number, key in enumerate(video_frames(path)[2]) if key]
    assert row["kf_indices"] == keys
    assert row["kf_positions"] == sorted(row["kf_positions"])


def test_the_metadata_travels_as_a_table(lake: Lake, tmp_path: Path) -> None:
    export_sans(lake, "lerobot-lance", tmp_path / "set")
    rows = lance.dataset(tmp_path / "set/meta.lance").to_table().to_pylist()
    meta = tmp_path / "set/meta"
    assert {row["path"]: row["data"] for row in rows} == {
        str(path.relative_to(meta)): path.read_bytes() for path in meta.rglob("*") if path.is_file()
    }


def test_the_older_version_has_no_such_storage(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the Lance storage is of v3\.0 alone"):
        export_sans(lake, "lerobot-lance", tmp_path / "set", version="v2.1")
    assert list(tmp_path.iterdir()) == []
