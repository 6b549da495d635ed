"""The built-in worker on plans written in Python: real blocks, real questions, real failures."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.protocol.messages import parse_orchestrator_message
from harness_nb.protocol.plans import Plan, RunBlock, Task
from harness_nb.protocol.records import SessionRecord
from harness_nb.sessions import Assignment
from tests.leaks import files_that_hold
from tests.sessions.living import do_plan, opened, printed, question

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb import AsyncHarness

pytestmark = [pytest.mark.anyio, pytest.mark.row(3)]


def sh(code: str, **fields: Any) -> RunBlock:
    return RunBlock(lang="sh", code=code, **fields)


def python(code: str) -> RunBlock:
    return RunBlock(lang="python", code=code)


def task(*runs: RunBlock, **fields: Any) -> Task:
    return Task(**{"name": "work", "runs": list(runs), **fields})


def plan(*tasks: Task, **fields: Any) -> Plan:
    return Plan(id="01-01", tasks=list(tasks), **fields)


async def end_of(h: AsyncHarness, session_id: str) -> tuple[SessionRecord, str, dict[str, Any]]:
    session = await h.session(session_id)
    record = await session.wait()
    result = json.loads(h.store.layout.session(session_id).result.read_text())
    return record, session.output().text, result


def said(h: AsyncHarness, session_id: str, kind: str) -> list[dict[str, Any]]:
    return [one.payload for one in h.store.messages.select(session_id, direction="in") if one.type == kind]


@pytest.mark.row(6)
@pytest.mark.row(13)
async def test_blocks_run_in_order_in_the_project_and_the_result_says_so(project: Path) -> None:
    (project / "greeting.py").write_text("WORD = 'hello from the project'\n")
    work = plan(
        task(
            sh('echo "city=$HARNESS_PARAM_CITY plan=$HARNESS_PLAN"; echo made > made.txt; pwd'),
            python("import greeting, os\nprint(greeting.WORD)\nprint(os.getcwd())"),
            name="first", files=["made.txt"],
        ),
        task(sh("cat made.txt"), name="second"),
    )  # fmt: skip
    async with opened(project) as h:
        session_id = await do_plan(h, work, city="Oslo")
        record, text, result = await end_of(h, session_id)
        assert record.state == "completed", text
        place = os.fspath(project)
        shown = [line for line in text.splitlines() if not line.startswith("\033")]
        assert shown == ["city=Oslo plan=01-01", place, "hello from the project", place, "made"]
        assert "── 1/2 first" in text
        assert (result["success"], result["filesModified"], result["plan"]) == (True, ["made.txt"], "01-01")
        assert [one["taskName"] for one in said(h, session_id, "task_started")] == ["first", "second"]
        assert [one["taskNumber"] for one in said(h, session_id, "task_completed")] == [1, 2]
        assert (record.current_task, record.total_tasks, record.task_name) == (2, 2, "second")


@pytest.mark.row(9)
@pytest.mark.parametrize(
    ("block", "path", "how", "place"),
    [
        (sh("exit 3", line=12), "plans/01-01-PLAN.md", "exit status 3", "plans/01-01-PLAN.md:12"),
        (sh("no-such-command-here"), None, "exit status 127", "01-01, 01-01-task2-1.sh"),
        (sh("false; echo never"), None, "exit status 1", "01-01, 01-01-task2-1.sh"),
        (sh('echo "$NEVER_SET"'), None, "exit status 2", "01-01, 01-01-task2-1.sh"),
        (sh("kill -KILL $$"), None, "signal 9", "01-01, 01-01-task2-1.sh"),
        (python("raise RuntimeError('oh')"), None, "exit status 1", "01-01, 01-01-task2-1.py"),
    ],
)
async def test_a_block_that_fails_ends_the_plan_and_names_the_place(
    project: Path, block: RunBlock, path: str | None, how: str, place: str
) -> None:
    work = plan(task(sh("true")), task(block, sh("touch never"), name="break"), task(sh("touch never")), path=path)
    async with opened(project) as h:
        session_id = await do_plan(h, work)
        record, text, result = await end_of(h, session_id)
        sentence = f"task 2 (break) ended with {how}; see {place}"
        assert (record.state, record.reason) == ("failed", sentence)
        assert f"✕ {sentence}" in text
        assert (result["success"], result["error"], result["recoverable"]) == (False, sentence, False)
        [failure] = said(h, session_id, "task_failed")
        assert (failure["taskNumber"], failure["error"], failure["recoverable"]) == (2, sentence, False)
        assert not (project / "never").exists()
    if block.lang == "python":
        assert 'scripts/01-01-task2-1.py", line 1' in text


@pytest.mark.row(9)
async def test_status_75_is_a_failure_that_another_try_may_mend(project: Path) -> None:
    async with opened(project) as h:
        session_id = await do_plan(h, plan(task(sh("exit 75"))))
        record, _, result = await end_of(h, session_id)
        assert record.state == "failed"
        assert result["recoverable"] is True
        assert said(h, session_id, "task_failed")[0]["recoverable"] is True


@pytest.mark.row(10)
async def test_the_four_kinds_of_checkpoint_are_asked_in_turn_and_answered(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "redis.env").write_text("REDIS_URL=redis://:hush-hush@host\n")
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", os.fspath(folder))
    options = [{"id": "a", "name": "Alpha"}, {"id": "b", "name": "Beta", "recommended": True}]
    work = plan(
        Task(name="look", type="checkpoint:human-verify", what_built="a page", how_to_verify=["open it"], files=["p"]),
        Task(name="choose", type="checkpoint:decision", decision="Which?", context="two", options=options),
        Task(name="plug", type="checkpoint:human-action", action="plug it in", instructions="gently"),
        Task(name="key", type="checkpoint:credentials", service="redis", env_vars=["REDIS_URL"], reason="cache"),
        task(sh('echo "$HARNESS_DECISION $HARNESS_DECISION_2 $REDIS_URL"')),
    )
    async with opened(project) as h:
        session_id = await do_plan(h, work)
        wanted: dict[str, dict[str, Any]] = {
            "verification_needed": {"whatBuilt": "a page", "howToVerify": ["open it"], "artifacts": ["p"]},
            "decision_needed": {"decision": "Which?", "context": "two"},
            "action_needed": {"action": "plug it in", "instructions": "gently"},
            "credentials_needed": {"service": "redis", "envVars": ["REDIS_URL"], "reason": "cache"},
        }
        for kind, fields in wanted.items():
            asked = await question(h)
            assert asked.type == kind
            assert {name: asked.payload.get(name) for name in fields} == fields
            assert asked.payload["plan"] == "01-01"
            await (asked.answer("a") if kind == "decision_needed" else asked.approve())
        record, text, _ = await end_of(h, session_id)
        assert record.state == "completed", text
        assert text.splitlines()[-1] == "a a [credential:REDIS_URL]"
    assert files_that_hold(project, b"hush-hush") == []


@pytest.mark.row(2)
async def test_credentials_arrive_in_later_blocks_only_and_are_masked(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "postgres-staging.env").write_text("DATABASE_URL=postgresql://u:pa55word@h/db\nPGPASSWORD=pa55word\n")
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", os.fspath(folder))
    work = plan(
        task(sh('echo "before: ${PGPASSWORD-none}"')),
        Task(
            name="key", type="checkpoint:credentials", service="postgres", env_vars=["DATABASE_URL", "PGPASSWORD"],
            reason="to load", context="staging",
        ),
        task(sh('echo "after: $PGPASSWORD"'), python("import os; print(os.environ['DATABASE_URL'][::-1][::-1])")),
    )  # fmt: skip
    async with opened(project) as h:
        session_id = await do_plan(h, work)
        await (await question(h)).approve()
        record, text, _ = await end_of(h, session_id)
        assert record.state == "completed", text
        assert "before: none\n" in text
        assert "after: [credential:PGPASSWORD]\n" in text
        assert "\n[credential:DATABASE_URL]\n" in text
    assert files_that_hold(project, b"pa55word") == []


async def test_credentials_that_the_frontmatter_names_are_asked_for_ahead(project: Path) -> None:
    needs = [{"service": "github", "envVars": ["GH_TOKEN"], "reason": "to push", "context": None}]
    async with opened(project) as h:
        session_id = await do_plan(h, plan(task(sh("touch never")), credentials_needed=needs))
        asked = await question(h)
        assert (asked.type, asked.payload["service"]) == ("credentials_needed", "github")
        await asked.reject("not today")
        record, _, _ = await end_of(h, session_id)
        assert record.reason == "no credentials for github: not today"
        assert not (project / "never").exists()


async def test_what_is_not_verified_fails_with_the_persons_words(project: Path) -> None:
    work = plan(Task(name="look", type="checkpoint:human-verify", what_built="a page"), task(sh("touch never")))
    async with opened(project) as h:
        session_id = await do_plan(h, work)
        await (await question(h)).reject("the title is missing")
        record, _, result = await end_of(h, session_id)
        assert record.reason == "not verified: the title is missing"
        assert result["recoverable"] is False
        assert not (project / "never").exists()


@pytest.mark.row(9)
@pytest.mark.parametrize("again", [False, True])
async def test_an_abort_ends_the_task_and_says_whether_to_try_again(project: Path, again: bool) -> None:
    work = plan(Task(name="plug", type="checkpoint:human-action", action="plug it in"), task(sh("touch never")))
    async with opened(project) as h:
        session_id = await do_plan(h, work)
        await (await question(h)).abort("no plug", should_retry=again)
        record, _, result = await end_of(h, session_id)
        assert record.reason == "aborted: no plug"
        assert result["recoverable"] is again


async def test_an_abort_instead_of_a_task_ends_it_before_anything_is_done(project: Path) -> None:
    async with opened(project) as h:
        session = SessionRecord(id="s1", worker="runbook", plan_id="01-01", working_dir=".", created_at=h.store.clock())
        payload = {"phase": "1", "plan": "01-01", "reason": "changed my mind", "shouldRetry": False}
        abort = parse_orchestrator_message(
            {"id": "m1", "sessionId": "s1", "type": "abort_task", "timestamp": h.store.clock(), "payload": payload}
        )
        await h.host.start(
            session,
            Assignment(plan=plan(task(sh("touch never")))),
            before_launch=lambda: h.store.messages.send(abort, actor="test", door="test"),
        )
        record, _, _ = await end_of(h, "s1")
        assert record.reason == "aborted: changed my mind"
        assert not (project / "never").exists()


async def test_a_runbook_is_stopped_with_the_block_that_it_runs(project: Path) -> None:
    async with opened(project) as h:
        session_id = await do_plan(h, plan(task(sh("echo started; sleep 600; touch never"))))
        await printed(h, session_id, "started")
        record = await h.end_session(session_id, grace=20)
        assert (record.state, record.reason) == ("failed", "ended by end_session")
        assert not (project / "never").exists()


async def test_a_plan_without_a_worker_that_fits_says_so_in_its_own_words(project: Path) -> None:
    async with opened(project) as h:
        run = await h.run(plans=[plan(Task(name="think hard"))])
        report = await run.wait(timeout=60)
        assert not report.passed
        assert "has no <run> block" in str(report.plan("01-01").reason)


@pytest.mark.row(9)
async def test_what_goes_wrong_around_the_plan_is_told_in_its_result(project: Path) -> None:
    """An assignment that cannot be read: the sentence is the reason, not only the exit status."""
    async with opened(project) as h:
        session = SessionRecord(id="s1", worker="runbook", plan_id="01-01", working_dir=".", created_at=h.store.clock())
        folder = h.store.layout.session("s1")
        await h.host.start(
            session, Assignment(plan=plan(task(sh("true")))), before_launch=lambda: folder.assignment.write_text("{oh")
        )
        record, _, result = await end_of(h, "s1")
        assert (record.state, result["success"]) == ("failed", False)
        assert "assignment.json" in str(record.reason)
        assert result["error"] == record.reason


@pytest.mark.row(9)
async def test_credentials_that_did_not_arrive_are_told_in_its_result(project: Path) -> None:
    key = Task(name="key", type="checkpoint:credentials", service="redis", env_vars=["REDIS_URL"], reason="cache")
    async with opened(project) as h:
        session_id = await do_plan(h, plan(key))
        asked = await question(h)
        yes = {
            "id": "yes", "sessionId": session_id, "type": "credentials_provided", "timestamp": h.store.clock(),
            "inResponseTo": asked.id, "payload": {"service": "redis", "found": True},
        }  # fmt: skip
        h.store.questions.answer(parse_orchestrator_message(yes), actor="test", door="test")
        h.store.ring()
        record, _, result = await end_of(h, session_id)
        assert "redis" in str(record.reason)
        assert (result["error"], result["plan"]) == (record.reason, "01-01")


async def test_a_terminal_that_is_not_utf8_does_not_end_the_plan(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    async with opened(project) as h:
        session_id = await do_plan(h, plan(task(sh("echo fine"), name="größer")))
        record, text, _ = await end_of(h, session_id)
        assert record.state == "completed", text
        assert "1/1 gr" in text
        assert "fine\n" in text


@pytest.mark.row(2)
async def test_the_result_holds_no_value_that_the_plan_was_given(project: Path) -> None:
    """The last task's name is the summary of what failed, and a name may quote anything."""
    value = "pa55word-of-redis"
    key = Task(name="key", type="checkpoint:credentials", service="redis", env_vars=["REDIS_URL"], reason="cache")
    async with opened(project) as h:
        session_id = await do_plan(h, plan(key, task(sh("exit 3"), name=value[::-1][::-1])))
        folder = h.store.layout.session(session_id)
        asked = await question(h)
        payload = {"service": "redis", "found": True, "credentials": {"REDIS_URL": value}}
        await h.respond("credentials_provided", session_id, payload, asked.id)
        record, _, result = await end_of(h, session_id)
        assert "([credential:REDIS_URL]) ended with exit status 3" in str(record.reason)
        assert result["error"] == record.reason
        assert value not in folder.result.read_text()
