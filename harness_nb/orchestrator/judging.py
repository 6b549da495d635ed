"""What judges a plan and a phase after the work, and what is left behind when it passed: summary and commit."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from harness_nb.orchestrator.asking import ask
from harness_nb.orchestrator.recollection import recollect
from harness_nb.orchestrator.trusted_commands import TrustedCommands
from harness_nb.plans.paths import read_paths
from harness_nb.plans.summary import CheckLine, summary_target, withdraw_verified, write_summary
from harness_nb.protocol.report import CheckResult, Report
from harness_nb.sessions.launch import tool_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from harness_nb.orchestrator.desk import Desk
    from harness_nb.orchestrator.progress import PlanProgress
    from harness_nb.plans.project import Project
    from harness_nb.protocol.manifest import Manifest
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import MessageRecord
    from harness_nb.sessions.host import SessionHost
    from harness_nb.verification import VerificationEngine


class Judge:
    """Verifies plans and phases of one run, or attempts that belong to none.

    ``on_ask`` is told the session of each question to a person before it is asked.
    """

    def __init__(
        self,
        host: SessionHost,
        desk: Desk,
        project: Project,
        run_id: str | None = None,
        on_ask: Callable[[str], None] | None = None,
    ) -> None:
        self._host = host
        self._desk = desk
        self._project = project
        self._run_id = run_id
        self._on_ask = on_ask
        self._trusted = TrustedCommands(project, desk.broker.redact)
        self._settled: set[str] = set()
        self._committing = anyio.Lock()  # git locks its index: of two plans that end together one would fail

    async def plan(self, plan: Plan) -> Report:
        """Run what judges a plan; where that is nothing, ask a person once.

        Raises: ChangedCommandsError, UntrustedProjectError.
        """
        from harness_nb.verification import judge_manifest

        plan = await anyio.to_thread.run_sync(self._trusted.to_judge, plan)
        manifest = judge_manifest(plan)
        await anyio.to_thread.run_sync(self._know_values, plan)
        if not manifest.must_pass:
            return await self._ask_for_all(plan, await self._engine(plan).verify(manifest, plan.id))
        return await self._engine(plan).verify(manifest, plan.id)

    def _know_values(self, plan: Plan) -> None:
        """Know what a plan's workers were given, also by another process, so that no check's output shows it."""
        sessions = [one.id for one in self._host.store.sessions.select(plan_id=plan.id)]
        for name, values in recollect(self._host.store, sessions, [self._desk.broker.provider]).items():
            for value in values:
                self._desk.broker.redact.add({name: value})

    async def phase(self, number: str, plans: Iterable[Plan]) -> Report:
        """Run the checks of a phase's plans together, once all of them are complete.

        Raises: ChangedCommandsError, UntrustedProjectError.
        """
        reports = []
        for plan in [await anyio.to_thread.run_sync(self._trusted.to_judge, one) for one in plans]:
            manifest = self.phase_manifest(plan)
            if manifest.must_pass:
                await anyio.to_thread.run_sync(self._know_values, plan)
                reports.append(await self._engine(plan).verify(manifest, plan.id))
        return Report.combine(f"phase {number}", reports, at=self._host.store.clock())

    def phase_manifest(self, plan: Plan) -> Manifest:
        """Return what a plan adds to its phase's checks: its ``must_pass`` without those that a person has judged."""
        from harness_nb.protocol.checks import HumanCheck  # with manifest.py: twenty-seven models, not for every import
        from harness_nb.protocol.manifest import parse_manifest

        keys = ("must_pass", "api_base_url", "ui_base_url", "timeout")
        manifest = parse_manifest({key: getattr(plan.frontmatter, key) for key in keys}, plan.path)
        kept = tuple(spec for spec in manifest.must_pass if not isinstance(spec, HumanCheck))
        return manifest.model_copy(update={"must_pass": kept})

    def unchecked(self, number: str, error: Exception) -> Report:
        """Return the report of a phase whose checks could not be run."""
        now = self._host.store.clock()
        sentence = f"the checks could not be run: {type(error).__name__}: {error}"
        result = CheckResult(spec_id=f"phase-{number}", type="phase", passed=False, error=sentence, timestamp=now)
        return Report.of(f"phase {number}", [result], started_at=now, completed_at=now)

    def _engine(self, plan: Plan) -> VerificationEngine:
        from harness_nb.verification import VerificationEngine

        async def ask_person(spec: Any) -> tuple[bool, str]:
            return await self._ask(plan, *_for_person(spec))

        return VerificationEngine(
            self._project.root,
            on_human_required=ask_person,
            environment={"PATH": tool_environment()["PATH"]},
            redact=self._desk.broker.redact,
        )

    async def _ask(self, plan: Plan, what: str, how: list[str]) -> tuple[bool, str]:
        answer = await anyio.to_thread.run_sync(self._answered_before, plan, what, how)
        if answer is None:
            payload = {"what_built": what, "how_to_verify": how, "artifacts": plan.writes}
            session_id = f"{plan.id}-{self._host.store.new_id()[:8]}"
            self._settled.add(session_id)
            if self._on_ask is not None:
                self._on_ask(session_id)
            answer = await ask(
                self._host, "verification", payload,
                plan_id=plan.id, phase=plan.phase, run_id=self._run_id, session_id=session_id,
            )  # fmt: skip
        feedback = answer.payload.get("feedback") or answer.payload.get("reason")
        return bool(answer.payload.get("verified")), str(feedback or f"answered by {answer.actor}")

    def _answered_before(self, plan: Plan, what: str, how: list[str]) -> MessageRecord | None:
        """Return what was said of a plan's last try to a process that died before it could make a verdict of it."""
        store = self._host.store
        sessions = store.sessions.select(plan_id=plan.id)
        tries = [place for place, one in enumerate(sessions) if one.is_attempt]
        for session in sessions[tries[-1] + 1 :] if tries else ():
            for question in store.messages.select(session.id, direction="in"):
                same = (question.payload.get("whatBuilt"), question.payload.get("howToVerify")) == (what, how)
                if same and session.id not in self._settled and question.status == "responded":
                    self._settled.add(session.id)
                    return store.messages.answer_to(question.id, session.id)
        return None

    async def _ask_for_all(self, plan: Plan, advisory: Report) -> Report:
        started = self._host.store.clock()
        truths = plan.frontmatter.must_haves.truths or [task.done for task in plan.tasks if task.done]
        passed, notes = await self._ask(plan, plan.title or plan.id, list(truths))
        now = self._host.store.clock()
        verdict = CheckResult(
            spec_id="verified-by-a-person",
            type="verification",
            passed=passed,
            error=None if passed else f"not verified: {notes}",
            notes=notes if passed else None,
            duration=(now - started).total_seconds() * 1000,
            timestamp=now,
            verified_by="human",
        )
        return Report.of(plan.id, [verdict, *advisory.results], started_at=started, completed_at=now)

    # --- after the verdict -------------------------------------------------------------------

    def leave_summary(self, progress: PlanProgress) -> Path | None:
        """Write the plan's ``SUMMARY.md`` where the worker wrote none; a plan without a file has none."""
        plan, spec = progress.plan, self._project.spec
        target = summary_target(self._project.root, spec, plan) if spec is not None else None
        if target is None:
            return None
        outcome, report = progress.outcome(), progress.report
        write_summary(
            target,
            plan,
            verified=bool(progress.verified),
            completed=outcome.ended_at or self._host.store.clock(),
            duration=outcome.duration,
            tasks=[task.name for task in plan.tasks],
            checks=[CheckLine(one.spec_id, one.state) for one in report.results] if report else [],
        )
        return target

    def withdraw_summary(self, plan: Plan) -> None:
        """Have a summary of an earlier success no longer say that the plan is verified."""
        if plan.summary_path is not None:
            with contextlib.suppress(OSError):  # the journal's verdict stands either way
                withdraw_verified(self._project.root / plan.summary_path)

    async def commit(self, progress: PlanProgress, summary: Path | None) -> str | None:
        """Commit a plan's files with git, and return why that failed, or None.

        What the plan names and is not there, or is ignored, is left out; where nothing changed nothing is committed.
        """
        async with self._committing:
            return await anyio.to_thread.run_sync(self._commit, progress.plan, summary)

    def _commit(self, plan: Plan, summary: Path | None) -> str | None:
        wanted = [f":(glob){path.text}" for entry in plan.writes for path in read_paths(entry)]
        if summary is not None:
            wanted.append(f":(glob){summary.relative_to(self._project.root)}")
        if not wanted:
            return None
        listed = self._git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *wanted)
        if listed.returncode or not listed.stdout:
            return _said(listed)
        files = ("--pathspec-from-file=-", "--pathspec-file-nul")
        added = self._git("add", "-A", *files, stdin=listed.stdout)
        if added.returncode:
            return _said(added)
        if not self._git("diff", "--cached", "--quiet", "--", *wanted).returncode:
            return None
        message = f"Complete {plan.id}: {plan.title}"
        return _said(self._git("commit", "-q", "-m", message, *files, stdin=listed.stdout))

    def _git(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = dict(os.environ)
        if stdin:
            environment["GIT_LITERAL_PATHSPECS"] = "1"  # names of files, which may hold brackets and stars
        return subprocess.run(
            ["git", *arguments],
            cwd=self._project.root,
            capture_output=True,
            text=True,
            check=False,
            input=stdin,
            env=environment,
            start_new_session=True,  # Jupyter interrupts all of a kernel's processes, and means the cell alone
        )


def _said(done: subprocess.CompletedProcess[str]) -> str | None:
    if not done.returncode:
        return None
    return (done.stderr or done.stdout).strip() or f"git {done.args[1]} failed"


def _for_person(spec: Any) -> tuple[str, list[str]]:
    """What a person is asked for a check that only a person can do, and the points to look at."""
    wire = spec.to_wire()
    what = wire.get("description") or wire.get("target") or wire.get("flow") or wire.get("location") or spec.id
    points = [str(point) for key in ("aspects", "steps", "criteria", "concerns") for point in wire.get(key) or ()]
    if wire.get("expectedOutcome"):
        points.append(f"expected: {wire['expectedOutcome']}")
    return str(what), points
