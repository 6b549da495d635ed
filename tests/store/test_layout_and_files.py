"""The folder, whole files, settings, trust, and what is read of files that others wrote."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness_nb.errors import UnreadableFileError, UnwritableFolderError
from harness_nb.protocol.files import ActiveFile, Config, DependencyGraph, SessionStatus
from harness_nb.store import Layout, Store, atomic, layout, settings, trust
from tests.store.conftest import names

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SPAWN = multiprocessing.get_context("spawn")


class TestFolder:
    @pytest.mark.row(6)
    def test_nothing_is_made_before_a_store_is_opened(self, tmp_path: Path) -> None:
        Layout(tmp_path).session("s1")
        assert names(tmp_path) == []

    @pytest.mark.row(6)
    def test_it_keeps_itself_out_of_git_but_for_the_settings(self, store: Store) -> None:
        root = store.layout.root
        store.write_default_config()
        subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
        found = subprocess.run(
            ["git", "ls-files", "-o", "--exclude-standard"], cwd=root, check=True, capture_output=True
        )
        assert found.stdout.decode().split() == [".orchestration/.gitignore", ".orchestration/config.yaml"]

    def test_a_gitignore_that_somebody_changed_stays(self, store: Store) -> None:
        ignore = store.layout.folder / ".gitignore"
        ignore.write_text("*.db\n")
        store.layout.create()
        assert ignore.read_text() == "*.db\n"

    def test_a_file_in_its_place_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / ".orchestration").write_text("")
        with pytest.raises(UnwritableFolderError, match=r"Cannot write in .*\.orchestration"):
            Store(tmp_path)

    @pytest.mark.row(6)
    def test_the_views_of_the_project_are_where_the_protocol_says(self, store: Store) -> None:
        store.write_graph(DependencyGraph(timestamp=NOON))
        store.write_active_files(
            [ActiveFile(path="a", session_id="s", plan_id="p", operation="write", started_at=NOON)]
        )
        assert json.loads((store.layout.root / ".orchestration/dependency-graph.json").read_text())["plans"] == []
        active = json.loads((store.layout.root / ".orchestration/active-files.json").read_text())
        assert active["files"][0]["operation"] == "write"

    def test_sockets_have_short_private_paths_however_deep_the_project_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        long_base = tmp_path / ("x" * 90)
        long_base.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", os.fspath(long_base))
        folder = Layout(tmp_path / ("deep/" * 40)).sockets
        assert len(os.fsencode(folder)) < 60
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700

    def test_a_folder_for_sockets_that_others_may_enter_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(layout, "LONGEST_BASE", 200)
        monkeypatch.setenv("XDG_RUNTIME_DIR", os.fspath(tmp_path))
        (tmp_path / "harness-nb").mkdir(mode=0o755)
        (tmp_path / "harness-nb").chmod(0o755)
        with pytest.raises(UnwritableFolderError, match="others may enter it"):
            layout.runtime_folder()

    @pytest.mark.parametrize("identifier", ["../../x", "a/b", "", ".hidden", "q 1", "x" * 101, "\ud800", "语" * 40])
    def test_an_id_that_is_no_file_name_becomes_one(self, identifier: str) -> None:
        stem = layout.file_stem(identifier)
        assert layout.fit_file_stem(stem) == stem
        assert stem != identifier

    @pytest.mark.parametrize("identifier", ["q1", "a-b_c.d", "Frage-ü"])
    def test_an_id_that_is_fit_to_be_a_file_name_stays(self, identifier: str) -> None:
        assert layout.file_stem(identifier) == identifier


def read_in_a_loop(path: str, ready: Any, seen: Any) -> None:
    """Read a file until it says that it is the last; report every state that was not whole."""
    ready.set()
    reads, broken = 0, []
    while True:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            text = file.read()
        reads += 1
        try:
            content = json.loads(text)
        except ValueError:
            broken.append(text[:80])
            continue
        if len(content["message"]) != content["currentTask"]:
            broken.append(text[:80])
        if content["totalTasks"] == 1:
            seen.put((reads, broken))
            return


class TestWholeFiles:
    @pytest.mark.row(6)
    def test_a_second_process_always_sees_whole_files(self, tmp_path: Path) -> None:
        path = tmp_path / "status.json"

        def write(size: int, last: bool = False) -> None:
            status = SessionStatus(
                session_id="s", timestamp=NOON, state="running", current_task=size, total_tasks=int(last),
                message="x" * size,
            )  # fmt: skip
            atomic.write_model(path, status, durable=False)

        write(0)
        ready, seen = SPAWN.Event(), SPAWN.Queue()
        reader = SPAWN.Process(target=read_in_a_loop, args=(os.fspath(path), ready, seen))
        reader.start()
        try:
            ready.wait()
            for number in range(500):
                write((number * 7919) % 20_000)
            write(0, last=True)
            reads, broken = seen.get()
        finally:
            reader.join()
        assert reads > 0
        assert broken == []
        assert names(tmp_path) == ["status.json"]

    @pytest.mark.parametrize("durable", [True, False])
    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(self, tmp_path: Path, durable: bool) -> None:
        path = tmp_path / "a.json"
        atomic.write_text(path, "old", durable=durable)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2, limits[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                atomic.write_text(path, "new", durable=durable)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_text() == "old"
        assert names(tmp_path) == ["a.json"]

    def test_a_link_never_overwrites(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        (tmp_path / "b").write_text("b")
        assert not atomic.link_if_absent(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b").read_text() == "b"
        assert atomic.link_if_absent(tmp_path / "a", tmp_path / "c")
        assert atomic.same_file(tmp_path / "a", tmp_path / "c")
        assert not atomic.same_file(tmp_path / "a", tmp_path / "missing")

    def test_moving_onto_its_own_link_removes_the_old_name(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        atomic.link_if_absent(tmp_path / "a", tmp_path / "b")
        assert atomic.move(tmp_path / "a", tmp_path / "b")
        assert names(tmp_path) == ["b"]
        assert atomic.move(tmp_path / "b", tmp_path / "b")
        assert names(tmp_path) == ["b"]
        assert not atomic.move(tmp_path / "a", tmp_path / "b")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no JSON": (lambda path: path.write_text('{\n"a": 1,\n'), r"a\.json:3 cannot be read: "),
    "half a file": (lambda path: path.write_text('{"a": "b'), r"a\.json:1 cannot be read: Unterminated string"),
    "no object": (lambda path: path.write_text("[1]"), "it holds a list instead of an object"),
    "no UTF-8": (lambda path: path.write_bytes(b'{"a": "\xff"}'), "can't decode byte 0xff"),
    "no number": (lambda path: path.write_text('{"a": NaN}'), "NaN is no JSON"),
    "half a character": (lambda path: path.write_text('{"a": "\\ud800"}'), "half a character"),
    "far too deep": (lambda path: path.write_text('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "nested too deeply"),
    "a folder": (lambda path: path.mkdir(), "not a regular file"),
    "a pipe": (make_pipe, "not a regular file"),
}


class TestReading:
    @pytest.mark.parametrize("kind", BROKEN)
    def test_what_cannot_be_read_is_a_sentence_with_file_and_line(self, tmp_path: Path, kind: str) -> None:
        make, message = BROKEN[kind]
        make(tmp_path / "a.json")
        with pytest.raises(UnreadableFileError, match=message) as caught:
            atomic.read_json(tmp_path / "a.json")
        assert str(caught.value).endswith("Correct the file, or remove it to start from the default.")

    def test_a_byte_order_mark_is_no_harm(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": "\\u00e9\\ud83d\\ude00"}')
        assert atomic.read_json(tmp_path / "a.json") == {"a": "é😀"}

    def test_a_missing_file_is_told_from_a_broken_one(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            atomic.read_json(tmp_path / "a.json")

    def test_wrong_fields_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text('{"sessionId": 5}')
        with pytest.raises(UnreadableFileError, match=r"sessionId: .*timestamp: field required; state: field required"):
            atomic.read_model(tmp_path / "a.json", SessionStatus)


class TestSettings:
    @pytest.mark.row(6)
    def test_the_file_that_is_written_says_what_holds_without_it(self, store: Store) -> None:
        assert store.config() == Config()
        store.write_default_config()
        assert store.config() == Config()
        assert Config.model_validate(yaml.safe_load(settings.DEFAULT)).unknown_keys == ()

    @pytest.mark.row(6)
    def test_the_policies_in_its_comments_can_be_used(self) -> None:
        lines = settings.DEFAULT.splitlines()
        start = lines.index("# policies:")
        example = "\n".join(line.removeprefix("# ") for line in lines[start : start + 4])
        assert len(Config.model_validate(yaml.safe_load(example)).policies) == 3

    def test_settings_that_are_there_are_not_overwritten(self, store: Store) -> None:
        store.layout.config.write_text("maxRetries: 5\n")
        store.write_default_config()
        assert store.layout.config.read_text() == "maxRetries: 5\n"
        assert store.config().max_retries == 5

    def test_an_empty_file_means_the_defaults(self, store: Store) -> None:
        store.layout.config.write_text("# nothing\n")
        assert store.config() == Config()

    def test_keys_that_nobody_knows_are_kept(self, store: Store) -> None:
        store.layout.config.write_text("theirs: {a: [1]}\nmaxRetries: 1\n")
        assert store.config().unknown_keys == ("theirs",)
        assert store.config().to_wire()["theirs"] == {"a": [1]}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("version: 1\nmaxRetries: [\n", r"config\.yaml:3 cannot be read: "),
            ("version: 1\n\tmaxRetries: 1\n", r"config\.yaml:2 cannot be read: "),
            ("version: 1\nmaxRetries: many\n", r"config\.yaml:2 cannot be read: maxRetries: input should be"),
            (
                "policies:\n- do: wait\n- do: dance\n",
                r"config\.yaml:3 cannot be read: policies\.1\.do: input should be",
            ),
            ("policies:\n- kind: action\n", r"config\.yaml:2 cannot be read: policies\.0\.do: field required"),
            ("- a\n", r"config\.yaml cannot be read: the whole: "),
        ],
    )
    def test_a_mistake_is_a_sentence_with_file_and_line(self, store: Store, text: str, message: str) -> None:
        store.layout.config.write_text(text)
        with pytest.raises(UnreadableFileError, match=message):
            store.config()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("version: 1\n\tmaxRetries: 1\n", "a tab stands where YAML wants spaces"),
            ("policies: [\n", "a bracket or a quote is opened and never closed"),
            ("a: b: c\n", "a colon stands where there can be none"),
            ("a: [1,\nb: }\n", "it is not YAML"),
        ],
    )
    def test_broken_yaml_is_said_in_words(self, store: Store, text: str, message: str) -> None:
        store.layout.config.write_text(text)
        with pytest.raises(UnreadableFileError, match=message):
            store.config()

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("max_retries: many\n", 1),
            ("policies: []\n# more\npolicies:\n  - do: wait\n\n  - kind: action\n", 6),
            ("policies:\n  - kind: action\n    do: wait\n  - kind: action\n    after: soon\n    do: wait\n", 5),
        ],
    )
    def test_the_line_is_that_of_the_mistake_itself(self, store: Store, text: str, line: int) -> None:
        store.layout.config.write_text(text)
        with pytest.raises(UnreadableFileError, match=rf"config\.yaml:{line} "):
            store.config()

    def test_what_has_no_effect_is_listed_by_line_with_what_may_be_meant(self, store: Store) -> None:
        store.layout.config.write_text(
            "maxParalelExecutions: 3\nmax_retries: 1\npolicies:\n- {kind: decison, do: wait}\n"
            "- do: wait\n  sevice: x\ntheirs: 1\nmax_retries: 2\n"
        )
        at = ".orchestration/config.yaml"
        assert settings.unknown_settings(store.layout) == [
            f"{at}:1: unknown setting 'maxParalelExecutions'; did you mean 'maxParallelExecutions'?",
            f"{at}:4: unknown kind of policy 'decison'; did you mean 'decision'?",
            f"{at}:6: unknown key of a policy 'sevice'; did you mean 'service'?",
            f"{at}:7: unknown setting 'theirs'",
            f"{at}:8: 'max_retries' is here a second time; only the last one counts",
        ]
        assert store.config().max_retries == 2

    @pytest.mark.parametrize("text", [settings.DEFAULT, "", "- a\n", "a: [\n", "policies: 5\n", "policies: [5]\n"])
    def test_where_all_is_known_or_nothing_can_be_read_nothing_is_listed(self, store: Store, text: str) -> None:
        store.layout.config.write_text(text)
        assert settings.unknown_settings(store.layout) == []

    def test_a_folder_in_its_place_is_a_sentence(self, store: Store) -> None:
        store.layout.config.mkdir()
        with pytest.raises(UnreadableFileError, match="Is a directory"):
            store.config()

    def test_bytes_that_are_no_text_are_a_sentence(self, store: Store) -> None:
        store.layout.config.write_bytes(b"a: \xff\n")
        with pytest.raises(UnreadableFileError, match="cannot be read"):
            store.config()


class TestTrust:
    def test_a_folder_is_trusted_after_its_user_said_so_and_until_taken_back(self, tmp_path: Path) -> None:
        one, inside = tmp_path / "one", tmp_path / "one" / "inside"
        inside.mkdir(parents=True)
        assert not trust.is_trusted(one)
        trust.set_trusted(one)
        trust.set_trusted(one)
        assert trust.is_trusted(one)
        assert not trust.is_trusted(inside)
        assert not trust.is_trusted(tmp_path)
        trust.set_trusted(one, trusted=False)
        assert not trust.is_trusted(one)

    def test_a_link_to_a_trusted_folder_is_that_folder(self, tmp_path: Path) -> None:
        (tmp_path / "one").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "one")
        trust.set_trusted(tmp_path / "link")
        assert trust.is_trusted(tmp_path / "one")

    def test_who_trusts_at_the_same_time_loses_nothing(self, tmp_path: Path) -> None:
        folders = [tmp_path / str(number) for number in range(200)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(trust.set_trusted, folders))
        assert [folder.name for folder in folders if not trust.is_trusted(folder)] == []

    def test_what_is_trusted_stands_outside_of_the_project_and_for_its_user_alone(self, tmp_path: Path) -> None:
        trust.set_trusted(tmp_path)
        path = trust.note_of_trust(tmp_path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not path.is_relative_to(tmp_path)

    @pytest.mark.parametrize("text", ["{", "{}", '"x"', "", "\xff"])
    def test_a_broken_note_trusts_nobody(self, tmp_path: Path, text: str) -> None:
        trust.set_trusted(tmp_path)
        trust.note_of_trust(tmp_path).write_text(text, encoding="latin-1")
        assert not trust.is_trusted(tmp_path)
        trust.set_trusted(tmp_path)
        assert trust.is_trusted(tmp_path)

    def test_a_place_that_cannot_be_written_is_a_sentence_and_trusts_nobody(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "afile").write_text("")
        monkeypatch.setenv("HARNESS_STATE_DIR", str(tmp_path / "afile"))
        assert not trust.is_trusted(tmp_path)
        for trusted in (True, False):
            with pytest.raises(UnwritableFolderError, match="HARNESS_STATE_DIR"):
                trust.set_trusted(tmp_path, trusted=trusted)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def test_opening_a_project_leaves_no_descriptor_open_after_closing(tmp_path: Path) -> None:
    Store(tmp_path).close()
    before = open_files()
    for _ in range(20):
        store = Store(tmp_path)
        store.ring()
        store.close()
    assert open_files() == before
