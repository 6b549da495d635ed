"""Checks that look at files."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.verification.conftest import Verify

pytestmark = [pytest.mark.anyio, pytest.mark.row(5)]


class TestFileExists:
    async def test_passes_for_files_and_folders(self, project: Path, verify: Verify) -> None:
        (project / "a [x] (y).txt").touch()
        (project / "sub").mkdir()
        for path in ("a [x] (y).txt", "sub", "sub/", "./sub/../sub"):
            assert (await verify("file_exists", path=path)).passed

    async def test_fails_when_it_is_not_there(self, project: Path, verify: Verify) -> None:
        (project / "file").touch()
        (project / "link").symlink_to("nowhere")
        assert (await verify("file_exists", path="a.txt")).error == "a.txt does not exist."
        assert "a folder was asked for" in ((await verify("file_exists", path="file/")).error or "")
        assert "link to something" in ((await verify("file_exists", path="link")).error or "")

    async def test_a_relative_path_may_not_leave_the_project_and_an_absolute_one_may(
        self, project: Path, verify: Verify
    ) -> None:
        (project.parent / "beside.txt").touch()
        result = await verify("file_exists", path="../beside.txt")
        assert not result.passed
        assert "leaves the project" in (result.error or "")
        assert (await verify("file_exists", path=str(project.parent / "beside.txt"))).passed

    async def test_a_path_that_cannot_be_one_is_not_a_pass(self, verify: Verify) -> None:
        assert not (await verify("file_exists", path="a\0b")).passed
        assert not (await verify("file_exists", path="a" * 5000)).passed


class TestFileContains:
    async def test_finds_text_and_says_where(self, project: Path, verify: Verify) -> None:
        (project / "a.txt").write_bytes("one\r\ntwo ü (x)\r\nthree\r\n".encode())
        result = await verify("file_contains", path="a.txt", pattern="ü (x)")
        assert (result.passed, result.output) == (True, "line 2: ü (x)")
        assert (await verify("file_contains", path="a.txt", pattern="(x)\nthree")).passed

    async def test_finds_regular_expressions_by_lines(self, project: Path, verify: Verify) -> None:
        (project / "a.txt").write_bytes(b"one\r\ntwo\r\nthree\r\n")
        for pattern in ("^two$", "^t.*e$", "one\ntwo", r"[a-z]{5}"):
            assert (await verify("file_contains", path="a.txt", pattern=pattern, regex=True)).passed, pattern
        assert not (await verify("file_contains", path="a.txt", pattern="^tw$", regex=True)).passed
        assert not (await verify("file_contains", path="a.txt", pattern="^two$")).passed

    async def test_fails_with_a_sentence_also_in_an_empty_file(self, project: Path, verify: Verify) -> None:
        (project / "a.txt").touch()
        result = await verify("file_contains", path="a.txt", pattern="x")
        assert result.error == "a.txt has no 'x' in it."
        assert not (await verify("file_contains", path="a.txt", pattern="x+.*y", regex=True)).passed

    async def test_finds_text_far_into_a_large_file(self, project: Path, verify: Verify) -> None:
        with (project / "big").open("wb") as file:
            file.truncate(200_000_000)
            file.seek(150_000_000)
            file.write(b"needle\n")
        assert (await verify("file_contains", path="big", pattern="needle")).passed

    async def test_a_pattern_that_never_ends_is_ended_by_the_time_limit(self, project: Path, verify: Verify) -> None:
        (project / "a.txt").write_text("a" * 64 + "!")
        result = await verify("file_contains", path="a.txt", pattern="^(a+)+$", regex=True, timeout=300)
        assert not result.passed
        assert "time limit of 0.3 s" in (result.error or "")

    @pytest.mark.parametrize("check_type", ["file_contains", "file_not_contains"])
    async def test_what_cannot_be_looked_at_is_not_a_pass(self, check_type: str, project: Path, verify: Verify) -> None:
        (project / "sub").mkdir()
        os.mkfifo(project / "pipe")
        (project / "a.txt").write_text("x")
        for path, why in (("none", "does not exist"), ("sub", "regular file"), ("pipe", "regular file")):
            result = await verify(check_type, path=path, pattern="x")
            assert not result.passed
            assert why in (result.error or "")
        result = await verify(check_type, path="a.txt", pattern="(", regex=True)
        assert not result.passed
        assert "no regular expression" in (result.error or "")


class TestFileNotContains:
    async def test_passes_without_and_fails_with_the_place(self, project: Path, verify: Verify) -> None:
        (project / "a.txt").write_text("one\n# TODO: two\n")
        assert (await verify("file_not_contains", path="a.txt", pattern="FIXME")).passed
        assert (await verify("file_not_contains", path="a.txt", pattern="^TODO", regex=True)).passed
        result = await verify("file_not_contains", path="a.txt", pattern=r"TODO.*", regex=True)
        assert not result.passed
        assert "line 2: TODO: two" in (result.error or "")


class TestJsonValid:
    async def test_passes_for_json_and_for_json_that_keeps_its_schema(self, project: Path, verify: Verify) -> None:
        (project / "a.json").write_text('{"n": 1, "tags": ["x"]}')
        (project / "tag.json").write_text('{"type": "string"}')
        schema = {"properties": {"tags": {"items": {"$ref": "tag.json"}}}, "required": ["n"]}
        (project / "schema.json").write_text(json.dumps(schema))
        assert (await verify("json_valid", path="a.json")).passed
        assert (await verify("json_valid", path="a.json", schema=schema)).passed
        assert (await verify("json_valid", path="a.json", schema="schema.json")).passed

    async def test_fails_for_what_is_no_json(self, project: Path, verify: Verify) -> None:
        for text in ('{"a": 1,}', "", "NaN", '{"a": Infinity}'):
            (project / "a.json").write_text(text)
            result = await verify("json_valid", path="a.json")
            assert not result.passed
            assert "is not valid JSON" in (result.error or "")

    async def test_fails_with_each_place_that_breaks_the_schema(self, project: Path, verify: Verify) -> None:
        (project / "a.json").write_text('{"n": "x", "tags": [1, 2]}')
        schema = {"properties": {"n": {"type": "number"}, "tags": {"items": {"type": "string"}}}}
        result = await verify("json_valid", path="a.json", schema=schema)
        assert not result.passed
        assert (result.output or "").splitlines() == [
            "$.n: 'x' is not of type 'number'",
            "$.tags[0]: 1 is not of type 'string'",
            "$.tags[1]: 2 is not of type 'string'",
        ]

    async def test_a_missing_file_or_a_schema_that_is_none_is_not_a_pass(self, project: Path, verify: Verify) -> None:
        (project / "a.json").write_text("{}")
        (project / "bad.json").write_text("{")
        for schema, why in (
            ({"type": "nonsense"}, "not a valid JSON Schema"),
            ("none.json", "does not exist"),
            ("bad.json", "not valid JSON"),
            ({"$ref": "http://localhost:9/x.json"}, "nothing is downloaded"),
        ):
            result = await verify("json_valid", path="a.json", schema=schema)
            assert not result.passed
            assert why in (result.error or "")
            assert (result.error or "").startswith("Could not run: ")
        assert "does not exist" in ((await verify("json_valid", path="none.json")).error or "")
