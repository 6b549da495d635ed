"""Tokens in private files: made once, the same for everybody who may read them, refused where others may."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import UnsafeTokenFileError, UnwritableFolderError
from harness_nb.store.tokens import make_token, read_token, same_token

if TYPE_CHECKING:
    from pathlib import Path


def test_a_token_is_long_private_and_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mcp.token"
    token = make_token(path)
    assert len(token) >= 40
    assert path.stat().st_mode & 0o777 == 0o600
    assert make_token(path) == token == read_token(path)
    assert make_token(tmp_path / "other.token") != token
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mcp.token", "other.token"]


def test_of_many_who_make_a_token_at_once_all_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(make_token, [tmp_path / "token"] * 32))) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_token_that_others_may_read_or_write_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "mcp.token"
    make_token(path)
    path.chmod(mode)
    with pytest.raises(UnsafeTokenFileError, match=f"chmod 600 {path}"):
        make_token(path)


def test_an_empty_token_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "mcp.token"
    path.touch(0o600)
    with pytest.raises(UnsafeTokenFileError, match="it is empty"):
        read_token(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnwritableFolderError, match="gone"):
        make_token(tmp_path / "gone" / "token")


@pytest.mark.parametrize("what", ["a link to nothing", "a link to itself", "a folder", "a name that is too long"])
def test_what_can_be_no_tokens_file_is_named_with_what_to_do(tmp_path: Path, what: str) -> None:
    path = tmp_path / "token"
    if what == "a folder":
        path.mkdir()
    elif what == "a name that is too long":
        path = tmp_path / ("x" * 300)
    else:
        path.symlink_to(path if what == "a link to itself" else tmp_path / "nowhere")
    with pytest.raises(UnsafeTokenFileError, match=r"cannot be used: .*\. (Remove it|Name another)"):
        make_token(path)
    assert [one.name for one in tmp_path.iterdir()] == ([] if len(path.name) > 255 else ["token"])


def test_a_command_that_mends_a_token_can_be_pasted(tmp_path: Path) -> None:
    path = tmp_path / "my token"
    make_token(path)
    path.chmod(0o644)
    with pytest.raises(UnsafeTokenFileError, match=f"chmod 600 '{path}'"):
        make_token(path)


def test_tokens_are_compared_whole() -> None:
    assert same_token("abc", "abc")
    assert not same_token("ab", "abc")
    assert not same_token(None, "abc")
    assert not same_token("ü", "abc")
