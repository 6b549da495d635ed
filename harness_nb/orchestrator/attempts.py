"""A try at a plan: the session that it will be, and the message that gives it the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_nb.protocol.messages import AssignTask
from harness_nb.protocol.payloads import AssignTaskPayload
from harness_nb.protocol.records import SessionRecord

if TYPE_CHECKING:
    from datetime import datetime

    from harness_nb.orchestrator.progress import PlanProgress
    from harness_nb.protocol.plans import Plan


def next_attempt(progress: PlanProgress, run_id: str, new_id: str, now: datetime) -> SessionRecord:
    """Return the session of the next try at a plan; nothing of it is stored or started yet."""
    plan = progress.plan
    return SessionRecord(
        id=f"{plan.id}-{new_id[:8]}",
        worker=str(progress.worker),
        run_id=run_id,
        plan_id=plan.id,
        phase=plan.phase,
        attempt=len(progress.attempts) + 1,
        working_dir=".",
        task_type="research" if plan.frontmatter.type == "research" else "execute",
        created_at=now,
    )


def task_message(
    message_id: str, session: SessionRecord, plan: Plan, spec_dir: str, context: str | None, now: datetime
) -> AssignTask:
    """Return the message that gives a session its plan."""
    return AssignTask(
        id=message_id,
        session_id=session.id,
        timestamp=now,
        payload=AssignTaskPayload(
            phase=plan.phase,
            plan=plan.id,
            plan_path=plan.path or "",
            spec_dir=spec_dir,
            task_type=session.task_type,
            context=context,
        ),
    )
