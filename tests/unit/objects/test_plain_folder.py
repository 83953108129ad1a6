"""No key leads out of the folder, and none is lost."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.objects.plain_folder import ODD, PlainFile, PlainFolder, path_of

ODD_KEYS = ("", "..", "../x", "a/../../x", "/x", "a//b", "a/", "./x", "a\0b", "a\\..\\b")


@pytest.mark.parametrize("key", [*ODD_KEYS, "x" * 241, f"{ODD}/1", "opened.jsonl"])
def test_a_key_that_is_no_safe_path_gets_none(key: str) -> None:
    assert path_of(key) is None


@given(st.text(st.sampled_from("./\\ab"), max_size=12))
def test_a_path_stays_inside(key: str) -> None:
    path = path_of(key)
    assert path is None or (not path.is_absolute() and ".." not in path.parts)
    assert path is None or path == PurePosixPath(key)


def put(folder: PlainFolder, key: str) -> Path:
    path = folder.place(key)
    with PlainFile(path) as file:
        file.write(memoryview(key.encode()))
        file.keep()
    return path


def test_every_key_has_a_file_of_its_own(tmp_path: Path) -> None:
    folder = PlainFolder(tmp_path / "plain")
    keys = ["a", "a/b", "b/c", "b", *ODD_KEYS, "gewoon.txt"]
    files = {key: put(folder, key) for key in keys}
    assert all(path.read_bytes() == key.encode() for key, path in files.items())
    assert len(set(files.values())) == len(keys)
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_a_link_in_the_folder_does_not_lead_out(tmp_path: Path) -> None:
    folder = PlainFolder(tmp_path / "plain")
    (tmp_path / "outside").mkdir()
    (tmp_path / "plain" / "link").symlink_to(tmp_path / "outside")
    put(folder, "link/x")
    (tmp_path / "plain" / "y").symlink_to(tmp_path / "outside" / "y")
    put(folder, "y")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_that_was_not_kept_leaves_nothing(tmp_path: Path) -> None:
    with PlainFile(tmp_path / "x") as file:
        file.write(memoryview(b"not proven yet"))
    assert list(tmp_path.iterdir()) == []
