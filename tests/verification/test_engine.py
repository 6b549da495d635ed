"""The engine: what passes and what never does, retries, limits, order, cancellation, judges, progress."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from harness_nb.protocol.check_reading import parse_check
from harness_nb.protocol.manifest import Manifest
from harness_nb.protocol.report import CheckResult, Report
from harness_nb.verification import CheckContext, Outcome, VerificationEngine, check
from harness_nb.verification.registry import REGISTERED, clash
from tests.verification.conftest import is_alive, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness_nb.protocol.checks import CheckSpec
    from tests.verification.conftest import Verify

pytestmark = [pytest.mark.anyio, pytest.mark.row(5)]


def command(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "command_succeeds", "command": script, **more}


def exists(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "file_exists", "path": name, **more}


def by_id(report: Report) -> dict[str, CheckResult]:
    return {result.spec_id: result for result in report.results}


class TestVerdict:
    async def test_must_pass_decides_and_should_pass_is_run_and_reported(self, project: Path) -> None:
        (project / "a").touch()
        report = await VerificationEngine(project).verify({"must_pass": [exists("a")], "should_pass": [exists("b")]})
        assert report.passed
        assert [(one.spec_id, one.required, one.passed) for one in report.results] == [
            ("a", True, True),
            ("b", False, False),
        ]
        assert report.target == "project"

    async def test_a_manifest_can_be_a_model_a_mapping_or_a_list(self, project: Path) -> None:
        (project / "a").touch()
        spec = parse_check(exists("a"))
        engine = VerificationEngine(project)
        for manifest in (Manifest(must_pass=(spec,)), {"mustPass": [exists("a")]}, [spec], [exists("a")], (spec,)):
            assert (await engine.verify(manifest, "it")).passed

    @pytest.mark.parametrize("manifest", [{}, [], {"must_pass": []}, Manifest()])
    async def test_an_empty_manifest_is_never_a_pass(self, manifest: Any, project: Path) -> None:
        report = await VerificationEngine(project).verify(manifest)
        assert (report.passed, report.total) == (False, 0)
        assert report.reason

    async def test_one_bad_check_does_not_keep_the_others_from_running(self, project: Path) -> None:
        (project / "a").touch()
        checks: list[Any] = [exists("a"), {"id": "b", "type": "nope"}, "text", {"id": "d", "type": "file_exists"}]
        results = by_id(await VerificationEngine(project).verify(checks))
        assert results["a"].passed
        assert "has no known type ('nope'). Use one of: file_exists" in (results["b"].error or "")
        assert "must be a mapping" in (results["must_pass[2]"].error or "")
        assert "path: field required" in (results["d"].error or "")
        assert not any(results[name].passed for name in ("b", "must_pass[2]", "d"))

    async def test_a_check_with_an_unknown_field_never_passes_and_is_not_run(self, project: Path) -> None:
        engine = VerificationEngine(project)
        report = await engine.verify([command("a", "touch ran", comand="x")])
        error = report.results[0].error or ""
        assert error.startswith("Could not run: unknown field 'comand' (did you mean 'command'?). Correct or remove")
        assert not (project / "ran").exists()

    async def test_checks_with_the_same_id_never_pass(self, project: Path) -> None:
        (project / "a").touch()
        report = await VerificationEngine(project).verify({"must_pass": [exists("a")], "should_pass": [exists("a")]})
        assert not report.passed
        assert all("More than one check has the id 'a'" in (one.error or "") for one in report.results)

    @pytest.mark.parametrize("error", [ZeroDivisionError("oops"), SystemExit("oops")])
    async def test_an_exception_inside_a_check_is_a_result(self, project: Path, error: BaseException) -> None:
        original = REGISTERED["file_exists"]

        async def broken(spec: Any, context: CheckContext) -> Outcome:
            raise error

        check("file_exists")(broken)
        try:
            report = await VerificationEngine(project).verify([exists("a"), command("b", "true")])
        finally:
            REGISTERED["file_exists"] = original
        assert by_id(report)["a"].error == f"Could not run: {type(error).__name__}: oops"
        assert by_id(report)["b"].passed

    async def test_results_keep_the_manifests_order(self, project: Path) -> None:
        checks = [command("slow", "sleep 0.2"), *(exists(str(n)) for n in range(20))]
        report = await VerificationEngine(project).verify(checks)
        assert [one.spec_id for one in report.results] == ["slow", *map(str, range(20))]

    async def test_the_report_says_when_and_how_long(self, project: Path) -> None:
        before = datetime.now(UTC)
        report = await VerificationEngine(project).verify([command("a", "sleep 0.05")])
        assert before <= report.started_at <= report.results[0].timestamp <= report.completed_at
        assert report.results[0].duration >= 50
        assert report.duration_ms >= 50


class TestTries:
    async def test_a_check_is_tried_until_it_passes(self, project: Path, verify: Verify) -> None:
        script = "echo x >> tries; test $(wc -l < tries) -ge 3"
        result = await verify("command_succeeds", command=script, retries=5)
        assert result.passed
        assert "Passed at try 3 of 6." in (result.notes or "")
        assert (project / "tries").read_text() == "x\n" * 3

    async def test_it_fails_when_no_try_passed(self, project: Path, verify: Verify) -> None:
        result = await verify("command_succeeds", command="echo x >> tries; false", retries=1)
        assert not result.passed
        assert "None of 2 tries passed." in (result.notes or "")
        assert (project / "tries").read_text() == "x\n" * 2

    async def test_each_try_has_the_time_limit_of_the_check_else_of_the_manifest(self, project: Path) -> None:
        script = "echo x >> tries; test $(wc -l < tries) -ge 2 || sleep 600"
        engine = VerificationEngine(project)
        manifest = {"must_pass": [command("a", script, retries=1, timeout=30_000)], "timeout": 100}
        manifest["must_pass"].append(command("b", "sleep 600"))  # type: ignore[attr-defined]
        manifest["must_pass"][0]["timeout"] = 5_000  # type: ignore[index]
        results = by_id(await engine.verify(manifest))
        assert results["a"].passed
        assert "time limit of 0.1 s" in (results["b"].error or "")


class TestCritical:
    async def test_its_failure_stops_what_runs_and_skips_the_rest(self, project: Path) -> None:
        checks = [
            command("long", "echo $$ > pid; mv pid ready; exec sleep 600"),
            command("bad", "while ! test -e ready; do sleep 0.01; done; false", critical=True),
            *(command(f"later-{n}", "true") for n in range(5)),
        ]
        seen: list[tuple[int, int, str]] = []
        engine = VerificationEngine(
            project,
            max_concurrent=2,
            on_progress=lambda done, total, result: seen.append((done, total, result.spec_id)),
        )
        report = await engine.verify(checks)
        results = by_id(report)
        assert not report.passed
        assert [name for name, result in results.items() if result.skipped] == [
            "long",
            *(f"later-{n}" for n in range(5)),
        ]
        assert results["later-0"].error == "Skipped: the critical check 'bad' did not pass."
        assert report.skipped_count == 6
        assert [done for done, _, _ in seen] == list(range(1, 8))
        assert wait_until(lambda: not is_alive(int((project / "ready").read_text())))

    async def test_its_success_stops_nothing(self, project: Path) -> None:
        report = await VerificationEngine(project).verify([command("a", "true", critical=True), command("b", "true")])
        assert report.passed

    async def test_one_that_cannot_be_read_stops_too(self, project: Path) -> None:
        checks = [{"id": "a", "type": "nope", "critical": True}, command("b", "sleep 600")]
        report = await VerificationEngine(project).verify(checks)
        assert by_id(report)["b"].skipped


class TestSideBySide:
    async def test_no_more_than_the_limit_run_at_once_and_that_many_do(self, project: Path) -> None:
        # Each waits until three are there at once; a fourth would be counted too.
        script = (
            "echo $$ > in.$$; while test $(ls in.* | wc -l) -lt 3 && ! test -e full; do sleep 0.01; done; touch full"
        )
        script += "; ls in.* | wc -l >> counts; sleep 0.05; rm in.$$"
        checks = [command(str(n), script, timeout=20_000) for n in range(9)]
        report = await VerificationEngine(project, max_concurrent=3).verify(checks)
        assert report.passed, str(report)
        assert max(map(int, (project / "counts").read_text().split())) == 3

    async def test_tools_of_one_folder_never_run_against_each_other(self, project: Path) -> None:
        (project / "sub").mkdir()
        script = f"mkdir {project}/lock && sleep 0.05 && rmdir {project}/lock"
        checks = [
            {"id": f"{kind}{cwd}", "type": kind, "command": script, "cwd": cwd}
            for kind in ("build_succeeds", "tests_pass", "lint_clean", "type_check")
            for cwd in (".", "sub")
        ]
        checks = [one for one in checks if one["cwd"] == "." or one["type"] == "build_succeeds"]
        report = await VerificationEngine(project, max_concurrent=8).verify(checks)
        assert report.passed, str(report)

    async def test_other_folders_and_commands_do_not_wait(self, project: Path) -> None:
        for name in ("a", "b"):
            (project / name).mkdir()
        meet = "touch ../{0}; while ! test -e ../{1}; do sleep 0.01; done"
        checks = [
            {"id": "a", "type": "tests_pass", "command": meet.format("1", "2"), "cwd": "a", "timeout": 20_000},
            {"id": "b", "type": "tests_pass", "command": meet.format("2", "1"), "cwd": "b", "timeout": 20_000},
        ]
        assert (await VerificationEngine(project).verify(checks)).passed

    def test_a_folder_clashes_with_those_inside_it(self) -> None:
        assert clash(["folder:/a"], ["folder:/a/b"])
        assert not clash(["folder:/a"], ["folder:/ab"])
        assert clash(["port:1", "port:2"], ["port:2"])
        assert not clash(["port:1"], ["folder:1"])

    def test_at_least_one_must_run(self, project: Path) -> None:
        with pytest.raises(ValueError, match="max_concurrent is 0"):
            VerificationEngine(project, max_concurrent=0)


BROWSER = {"id": "ui", "type": "ui_element_exists", "url": "/login", "selector": "#a"}
PERSON = {"id": "look", "type": "visual_quality", "target": "/"}


class TestJudges:
    async def test_without_one_the_sentence_says_what_to_pass(self, project: Path) -> None:
        results = by_id(await VerificationEngine(project).verify([BROWSER, PERSON]))
        assert "pass on_playwright_required=" in (results["ui"].error or "")
        assert "Pass on_human_required=" in (results["look"].error or "")
        assert [(one.passed, one.verified_by) for one in results.values()] == [(False, "playwright"), (False, "human")]

    async def test_it_gets_the_check_with_its_whole_url_and_decides(self, project: Path) -> None:
        asked: list[Any] = []

        async def browser(spec: CheckSpec) -> bool:
            asked.append(spec)
            return True

        def person(spec: CheckSpec) -> tuple[bool, str]:
            asked.append(threading.current_thread())
            return False, "too dark"

        engine = VerificationEngine(project, on_playwright_required=browser, on_human_required=person)
        manifest = {"must_pass": [BROWSER], "should_pass": [PERSON], "ui_base_url": "http://localhost:3000"}
        report = await engine.verify(manifest)
        assert report.passed
        assert by_id(report)["look"].error == "Not accepted: too dark"
        assert sorted(getattr(one, "url", "thread") for one in asked) == ["http://localhost:3000/login", "thread"]
        assert threading.current_thread() not in asked

    async def test_it_may_return_a_whole_result(self, project: Path) -> None:
        def judge(spec: CheckSpec) -> CheckResult:
            return CheckResult(
                spec_id="other", type="other", passed=spec.id == "look", timestamp=datetime.now(UTC), output="seen",
                verified_by="human", required=False,
            )  # fmt: skip

        engine = VerificationEngine(
            project, ui_base_url="http://h", on_playwright_required=judge, on_human_required=judge
        )
        results = by_id(await engine.verify([BROWSER, PERSON]))
        assert (results["look"].passed, results["look"].output, results["look"].required) == (True, "seen", True)
        assert (results["ui"].passed, results["ui"].verified_by) == (False, "human")
        assert results["ui"].error == "on_playwright_required judged that it does not pass."

    async def test_a_skip_an_exception_or_something_else_is_never_a_pass(self, project: Path) -> None:
        def skip(spec: CheckSpec) -> CheckResult:
            return CheckResult(spec_id="a", type="b", passed=False, skipped=True, timestamp=datetime.now(UTC))

        def broken(spec: CheckSpec) -> bool:
            raise RuntimeError("no screen")

        for ask, why in ((skip, "skipped it"), (broken, "no screen"), (lambda spec: None, "returned NoneType")):
            report = await VerificationEngine(project, on_human_required=ask).verify([PERSON])  # type: ignore[arg-type]
            assert not report.passed
            assert why in (report.results[0].error or "")

    async def test_a_page_without_a_base_url_is_not_asked_for(self, project: Path) -> None:
        engine = VerificationEngine(project, on_playwright_required=lambda spec: True)
        report = await engine.verify([BROWSER])
        assert "there is no ui_base_url" in (report.results[0].error or "")

    async def test_people_who_think_keep_nobody_from_working(self, project: Path) -> None:
        """One slot, three people first: the command runs, and only then do they answer."""
        answers = anyio.Event()

        async def person(spec: CheckSpec) -> bool:
            await answers.wait()
            return True

        def progress(done: int, total: int, result: CheckResult) -> None:
            answers.set()

        people = [{**PERSON, "id": f"p{n}"} for n in range(3)]
        engine = VerificationEngine(project, max_concurrent=1, on_human_required=person, on_progress=progress)
        assert (await engine.verify([*people, command("a", "true")])).passed

    async def test_a_person_has_no_limit_unless_the_check_names_one(self, project: Path) -> None:
        async def person(spec: CheckSpec) -> bool:
            await anyio.sleep(0.2)
            return True

        engine = VerificationEngine(project, on_human_required=person)
        manifest = {"must_pass": [PERSON, {**PERSON, "id": "hurry", "timeout": 50}], "timeout": 50}
        assert {name: one.passed for name, one in by_id(await engine.verify(manifest)).items()} == {
            "look": True,
            "hurry": False,
        }


class TestTexts:
    async def test_every_text_passes_through_redact(self, project: Path) -> None:
        engine = VerificationEngine(
            project,
            redact=lambda text: text.replace("hunter2", "***"),
            on_human_required=lambda spec: (True, "hunter2"),
        )
        checks = [
            command("a", "echo hunter2; false hunter2"),
            PERSON,
            {"id": "hunter2", "type": "nope", "x": "hunter2"},
        ]
        report = await engine.verify(checks)
        results = by_id(report)
        assert "***" in (results["a"].output or "")
        for result in report.results:
            assert "hunter2" not in f"{result.error}{result.output}{result.notes}"
        assert results["look"].notes == "***"

    async def test_a_text_that_cannot_be_redacted_is_withheld(self, project: Path) -> None:
        def broken(text: str) -> str:
            raise ValueError("hunter2")

        report = await VerificationEngine(project, redact=broken).verify([command("a", "echo hunter2")])
        assert report.passed
        assert "hunter2" not in json.dumps(report.to_wire()).replace("echo hunter2", "")
        assert "withheld" in (report.results[0].output or "")


class TestProgress:
    async def test_it_may_be_async_and_what_it_raises_is_logged(
        self, project: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        seen: list[tuple[int, int]] = []

        async def progress(done: int, total: int, result: CheckResult) -> None:
            seen.append((done, total))
            raise RuntimeError("no bar")

        with caplog.at_level(logging.ERROR):
            report = await VerificationEngine(project, on_progress=progress).verify(
                [command("a", "true"), command("b", "true")]
            )
        assert report.passed
        assert seen == [(1, 2), (2, 2)]
        assert "on_progress failed" in caplog.text


class TestRun:
    def test_it_blocks_until_the_report_is_there(self, project: Path) -> None:
        assert VerificationEngine(project).run([command("a", "true")], "it").target == "it"

    async def test_it_works_inside_a_running_loop(self, project: Path) -> None:
        loop = asyncio.get_running_loop()
        assert VerificationEngine(project).run([command("a", "true")]).passed
        assert asyncio.get_running_loop() is loop

    def test_an_interrupt_ends_what_it_runs(self, project: Path) -> None:
        code = (
            "from harness_nb.verification import VerificationEngine\n"
            "check = {'id': 'a', 'type': 'command_succeeds', 'command': 'echo $$ > pid; mv pid ready; sleep 600'}\n"
            "VerificationEngine('.').run([check])\n"
        )
        with subprocess.Popen([sys.executable, "-c", code], cwd=project, stderr=subprocess.PIPE) as process:
            assert wait_until((project / "ready").exists, 30)
            os.kill(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=30)
        assert b"KeyboardInterrupt" in said
        assert wait_until(lambda: not is_alive(int((project / "ready").read_text())))


@pytest.fixture
def own_check() -> Iterator[None]:
    """A check of one's own, in place of nothing."""

    @check("ux_flow")
    async def run(spec: Any, context: CheckContext) -> Outcome:
        return Outcome.of(context.path(spec.flow).exists(), f"{spec.flow} is not there.")

    yield
    del REGISTERED["ux_flow"]


@pytest.mark.usefixtures("own_check")
async def test_a_decorated_function_runs_a_type_of_check(project: Path) -> None:
    (project / "a").touch()
    flow = {"id": "a", "type": "ux_flow", "flow": "a", "steps": [], "expectedOutcome": "there"}
    report = await VerificationEngine(project).verify([flow, {**flow, "id": "b", "flow": "b"}])
    assert [one.passed for one in report.results] == [True, False]


async def test_two_hundred_mixed_checks(project: Path) -> None:
    (project / "a.txt").write_text("hello\n")
    kinds: list[dict[str, Any]] = [
        {"type": "file_exists", "path": "a.txt"},
        {"type": "file_contains", "path": "a.txt", "pattern": "^hel+o$", "regex": True},
        {"type": "file_not_contains", "path": "a.txt", "pattern": "bye"},
        {"type": "command_succeeds", "command": "true"},
        {"type": "env_var_set", "name": "PATH"},
    ]
    checks = [{"id": str(n), **kinds[n % len(kinds)]} for n in range(200)]
    report = await VerificationEngine(project).verify(checks)
    assert (report.passed, report.passed_count) == (True, 200), str(report)
