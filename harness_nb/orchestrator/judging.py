"""What judges a plan and a phase after the work, and what is left behind when it passed: summary and commit."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from harness_nb.orchestrator.asking import ask
from harness_nb.plans.summary import CheckLine, summary_target, write_summary
from harness_nb.protocol.report import CheckResult, Report
from harness_nb.sessions.launch import tool_environment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from harness_nb.orchestrator.desk import Desk
    from harness_nb.orchestrator.progress import PlanProgress
    from harness_nb.plans.project import Project
    from harness_nb.protocol.plans import Plan
    from harness_nb.sessions.host import SessionHost
    from harness_nb.verification import VerificationEngine


class Judge:
    """Verifies plans and phases of one run."""

    def __init__(self, host: SessionHost, desk: Desk, project: Project, run_id: str) -> None:
        self._host = host
        self._desk = desk
        self._project = project
        self._run_id = run_id

    async def plan(self, plan: Plan) -> Report:
        """Run what judges a plan; where that is nothing, ask a person once."""
        from harness_nb.verification import judge_manifest

        manifest = judge_manifest(plan)
        if not manifest.must_pass:
            return await self._ask_for_all(plan, await self._engine(plan).verify(manifest, plan.id))
        return await self._engine(plan).verify(manifest, plan.id)

    async def phase(self, number: str, plans: Iterable[Plan]) -> Report:
        """Run the ``must_pass`` of a phase's plans together, once all of them are complete."""
        reports = []
        for plan in plans:
            if plan.frontmatter.must_pass:
                manifest = {
                    "must_pass": plan.frontmatter.must_pass,
                    "api_base_url": plan.frontmatter.api_base_url,
                    "ui_base_url": plan.frontmatter.ui_base_url,
                    "timeout": plan.frontmatter.timeout,
                }
                reports.append(await self._engine(plan).verify(manifest, plan.id))
        return Report.combine(f"phase {number}", reports, at=self._host.store.clock())

    def _engine(self, plan: Plan) -> VerificationEngine:
        from harness_nb.verification import VerificationEngine

        async def ask_person(spec: Any) -> tuple[bool, str]:
            return await self._ask(plan, *_for_person(spec))

        return VerificationEngine(
            self._project.root,
            on_human_required=ask_person,
            environment={"PATH": tool_environment()["PATH"]},
            redact=self._desk.redact,
        )

    async def _ask(self, plan: Plan, what: str, how: list[str]) -> tuple[bool, str]:
        payload = {"what_built": what, "how_to_verify": how, "artifacts": plan.writes}
        answer = await ask(self._host, "verification", payload, plan_id=plan.id, phase=plan.phase, run_id=self._run_id)
        feedback = answer.payload.get("feedback") or answer.payload.get("reason")
        return bool(answer.payload.get("verified")), str(feedback or f"answered by {answer.actor}")

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

    async def commit(self, progress: PlanProgress, summary: Path | None) -> str | None:
        """Commit a plan's files with git, and return why that failed, or None."""
        paths = [*progress.plan.writes, *([str(summary)] if summary else [])]
        message = f"Complete {progress.plan.id}: {progress.plan.title}"
        commands = (["git", "add", "-A", "--", *paths], ["git", "commit", "-q", "-m", message, "--", *paths])
        for command in commands:
            done = await anyio.to_thread.run_sync(self._git, command)
            if done.returncode:
                return (done.stderr or done.stdout).strip() or f"{' '.join(command[:2])} failed"
        return None

    def _git(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self._project.root, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )


def _for_person(spec: Any) -> tuple[str, list[str]]:
    """What a person is asked for a check that only a person can do, and the points to look at."""
    wire = spec.to_wire()
    what = wire.get("description") or wire.get("target") or wire.get("flow") or wire.get("location") or spec.id
    points = [str(point) for key in ("aspects", "steps", "criteria", "concerns") for point in wire.get(key) or ()]
    if wire.get("expectedOutcome"):
        points.append(f"expected: {wire['expectedOutcome']}")
    return str(what), points
