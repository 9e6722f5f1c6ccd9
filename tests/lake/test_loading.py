from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.factories import seldom_drawn, synthetic_episode
from worldvla.episodes.episode import Episode
from worldvla.episodes.images import decode_image
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import write_episodes
from worldvla.lake.loading import WindowLoader
from worldvla.lake.store import Lake

HISTORY, CHUNK = 2, 3
LENGTHS = (8, 3, 2, 11)  # the third has no window of three actions


def written(root: Path, episodes: list[Episode]) -> Lake:
    lake = Lake(root / "lake")
    write_episodes(lake, episodes, Commit("run", "demonstrations"))
    return lake


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return [synthetic_episode(seed, length=length) for seed, length in enumerate(LENGTHS)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, episodes: list[Episode]) -> Lake:
    return written(tmp_path_factory.mktemp("loading"), episodes)


def loader(lake: Lake, episodes: list[Episode], **options) -> WindowLoader:
    ids = [episode.episode_id for episode in episodes]
    return WindowLoader(lake, ids, HISTORY, CHUNK, **{"batch_size": 4, **options})


def windows(batches) -> dict[tuple[int, int], tuple[bytes, bytes]]:
    """Pictures and actions by episode and step."""
    found = {}
    for batch in batches:
        for row in range(len(batch.step)):
            key = int(batch.episode[row]), int(batch.step[row])
            assert key not in found
            found[key] = batch.images[row].tobytes(), batch.actions[row].tobytes()
    return found


def test_episodes_that_were_not_drawn_whole_are_refused(tmp_path: Path) -> None:
    sparse = [synthetic_episode(0), seldom_drawn(synthetic_episode(1), 4)]
    with pytest.raises(UserError, match=f"{sparse[1].episode_id} and 0 more have pictures of some states alone"):
        loader(written(tmp_path, sparse), sparse)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_window_comes_once_with_its_own_frames_and_actions(
    lake: Lake, episodes: list[Episode], tmp_path: Path, workers: int, cached: bool
) -> None:
    # In another order than they were written in.
    asked = [episodes[3], episodes[0], episodes[2], episodes[1]]
    made = loader(lake, asked, workers=workers, cache=tmp_path if cached else None)
    expected = {}
    for number, episode in enumerate(asked):
        for t in range(episode.length - CHUNK + 1):
            steps = [max(step, 0) for step in range(t + 1 - HISTORY, t + CHUNK + 1)]
            pictures = np.stack([decode_image(episode.images[step]) for step in steps])
            expected[number, t] = pictures.tobytes(), episode.actions[t : t + CHUNK].tobytes()
    assert len(made) == len(expected) == 9 + 6 + 0 + 1
    for epoch in range(2):
        assert windows(made.epoch(epoch)) == expected


def test_the_order_is_a_function_of_seed_and_epoch(lake: Lake, episodes: list[Episode]) -> None:
    def order(seed: int, epoch: int, workers: int) -> list[tuple[int, int]]:
        return list(windows(loader(lake, episodes, seed=seed, workers=workers).epoch(epoch)))

    assert order(1, 0, workers=1) == order(1, 0, workers=3)
    assert order(1, 0, workers=1) != order(1, 1, workers=1)
    assert order(1, 0, workers=1) != order(2, 0, workers=1)


def test_an_epoch_can_be_left_and_begun_again(lake: Lake, episodes: list[Episode]) -> None:
    made = loader(lake, episodes)
    first = next(made.epoch(0))
    again = next(made.epoch(0))
    np.testing.assert_array_equal(first.images, again.images)


def test_a_frame_is_decoded_once_while_there_is_a_cache(
    lake: Lake, episodes: list[Episode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worldvla.lake import loading

    decoded = []
    decode = loading._decode_into
    monkeypatch.setattr(loading, "_decode_into", lambda *given: decoded.append(given) or decode(*given))
    made = loader(lake, episodes, workers=1, cache=tmp_path)
    list(made.epoch(0))
    frames = len(decoded)
    list(made.epoch(1))
    assert frames == len(decoded) == 9 + 4 + 12


def test_the_cache_goes_with_the_loader(lake: Lake, episodes: list[Episode], tmp_path: Path) -> None:
    made = loader(lake, episodes, cache=tmp_path)
    list(made.epoch(0))
    assert len(list(tmp_path.iterdir())) == 1
    made.close()
    assert list(tmp_path.iterdir()) == []
    made = loader(lake, episodes, cache=tmp_path)
    del made
    assert list(tmp_path.iterdir()) == []


def test_a_cache_without_room_is_refused(
    lake: Lake, episodes: list[Episode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worldvla.lake import loading

    full = type("usage", (), {"free": 10})
    monkeypatch.setattr(loading.shutil, "disk_usage", lambda _: full)
    with pytest.raises(UserError, match=r"decoded frames take .* GiB; .* has 0.0 GiB free"):
        loader(lake, episodes, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_are_no_jpeg_are_read_too(tmp_path: Path) -> None:
    import io

    from PIL import Image

    def png(data: bytes) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(decode_image(data)).save(buffer, "PNG")
        return buffer.getvalue()

    one = synthetic_episode(1)
    lake = written(tmp_path, [replace(one, images=[png(image) for image in one.images])])
    found = windows(WindowLoader(lake, lake.frame("episodes")["episode_id"].to_list(), HISTORY, CHUNK, 4).epoch(0))
    assert found[0, 5][0] == np.stack([decode_image(one.images[step]) for step in range(4, 9)]).tobytes()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"\xff\xd8\xff no picture", "at step 2 is damaged"),
        (synthetic_episode(1, size=32).images[0], "at step 2 is damaged: it has 32 x 32 pixels, others 16 x 16"),
        (None, "at step 2 is damaged: there is none"),
    ],
)
def test_a_damaged_picture_is_named(tmp_path: Path, broken: bytes | None, message: str) -> None:
    one = synthetic_episode(1)
    one = replace(one, images=[*one.images[:2], broken or b"", *one.images[3:]])
    lake = written(tmp_path, [one])
    if broken is None:
        rows = lake.frame("frames", lake.open("frames").schema.names).to_dicts()
        rows[2]["image"] = None
        lake.upsert("frames", rows, Commit("run", "demonstrations"))
    with pytest.raises(UserError, match=message) as error:
        list(loader(lake, [one]).epoch(0))
    assert one.episode_id in str(error.value)


def test_a_damaged_first_picture_is_named(tmp_path: Path) -> None:
    one = synthetic_episode(1)
    one = replace(one, images=[b"no picture", *one.images[1:]])
    with pytest.raises(UserError, match=f"the image of episode {one.episode_id} at step 0 is damaged"):
        loader(written(tmp_path, [one]), [one])


def test_what_cannot_be_read_is_refused_at_once(lake: Lake, episodes: list[Episode], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the lake has no episode ffff"):
        WindowLoader(lake, ["ffff"], HISTORY, CHUNK, 4)
    with pytest.raises(ValueError, match="given twice"):
        WindowLoader(lake, [episodes[0].episode_id] * 2, HISTORY, CHUNK, 4)
    with pytest.raises(UserError, match="no episode has the 12 actions of one chunk"):
        WindowLoader(lake, [one.episode_id for one in episodes], HISTORY, 12, 4)
    blind = synthetic_episode(5, images=False)
    with pytest.raises(UserError, match=f"episode {blind.episode_id} was recorded without images"):
        loader(written(tmp_path / "blind", [blind]), [blind])
    short = written(tmp_path / "short", [episodes[0]])
    short.delete("frames", "step = 4")
    with pytest.raises(UserError, match=f"frames are missing of episode {episodes[0].episode_id}"):
        loader(short, [episodes[0]])
    long = written(tmp_path / "long", [episodes[0], episodes[1]])
    row = long.frame("frames").row(0, named=True)
    long.insert("frames", [row | {"step": LENGTHS[0] + 1}], Commit("run", "damage"))
    with pytest.raises(UserError, match=f"outside of its episode: {episodes[0].episode_id}"):
        loader(long, [episodes[0], episodes[1]])
