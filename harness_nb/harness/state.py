"""Reading a project's state from its documents and the journal, and writing the roadmap's quick state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness_nb.errors import UnknownWorkerError, UnreadableFileError
from harness_nb.orchestrator.progress import PlanProgress, Publisher, dependency_graph
from harness_nb.orchestrator.restore import choose_worker
from harness_nb.orchestrator.untrusted_plans import CHANGED_REASON
from harness_nb.plans import load_project, write_roadmap
from harness_nb.protocol.commands import TrustShown, commands_of, differences
from harness_nb.protocol.state import PhaseState, PlanInfo, ProjectState
from harness_nb.store.locks import is_held, note_of
from harness_nb.store.trust import read_trust

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb.plans import Project
    from harness_nb.protocol.plans import Plan
    from harness_nb.protocol.records import SessionRecord
    from harness_nb.store import Store

QUICK_KEYS = {"phase": "current_phase", "plan": "current_plan"}


def open_project(store: Store) -> Project:
    """Read the project's documents as its settings say."""
    config = store.config()
    return load_project(store.layout.root, config.spec_dir, config.phase_order)


def what_is_to_trust(store: Store, redact: Callable[[str], str] = str) -> TrustShown:
    """Return what the project's plans execute now, and how that differs from what is trusted.

    Where its settings cannot be read, nobody knows its plans, and nothing of them is there to be trusted.
    """
    root = store.layout.root
    try:
        plans = tuple(commands_of(plan) for plan in open_project(store).plans)
    except UnreadableFileError:
        plans = ()
    return TrustShown(root, plans, differences(read_trust(root), plans, redact), trusted=False)


def read_state(store: Store, project: Project | None = None) -> ProjectState:
    """Return what is known of the project now; its documents are read, unless ``project`` is what they say."""
    project = project or open_project(store)
    newest = store.sessions.newest_attempts()
    unfinished = store.runs.unfinished()
    held = _held(project, (unfinished.options.worker if unfinished else None) or store.config().worker)
    plans = tuple(_plan_info(project, plan, newest.get(plan.id), held) for plan in project.plans)
    lease = store.layout.lease
    return ProjectState(
        root=str(project.root),
        spec_dir=project.spec_dir,
        roadmap=project.roadmap.frontmatter if project.roadmap else None,
        audit_status=project.audit_status,
        phases=_phases(project, plans),
        plans=plans,
        graph=dependency_graph(project, {plan.id: plan.state for plan in plans}, store.clock()),
        sessions=tuple(store.sessions.select(live=True)),
        questions=store.messages.count_pending(),
        problems=project.problems,
        run_id=unfinished.id if unfinished else None,
        holder=note_of(lease) if is_held(lease) else None,
    )


def sync_state(store: Store, *, actor: str, door: str) -> ProjectState:
    """Read plans, summaries and roadmap from disk, write the dependency graph, and return the state.

    While somebody runs the project's plans the graph is left alone: a run keeps its own up to date.
    """
    with store.writing_views():  # read inside as well, so that of two only the newer state stays
        state = read_state(store)
        if not is_held(store.layout.lease):
            store.write_graph(state.graph)
        store.events.add("synced", actor=actor, door=door)
    store.ring()
    return state


def publish_state(store: Store, project: Project | None = None) -> None:
    """Show where everything stands in the graph, the active files and the roadmap's quick state.

    While somebody runs the project's plans those are left alone: a run keeps them up to date.

    Raises: OSError, where one of them cannot be written.
    """
    with store.writing_views():  # read inside as well, so that of two only the newer state stays
        if is_held(store.layout.lease):
            return
        project = project or open_project(store)
        attempts = store.sessions.newest_attempts()
        infos = {info.id: info for info in read_state(store, project).plans}
        Publisher(store, project).show(
            {
                plan.id: PlanProgress(
                    plan, state=infos[plan.id].state, attempts=[attempts[plan.id]] if plan.id in attempts else []
                )
                for plan in project.plans
            }
        )


def write_quick_state(store: Store, values: dict[str, Any], *, insert: bool) -> bool:
    """Set keys of ``ROADMAP.md``'s frontmatter; ``phase`` and ``plan`` are short for the current ones."""
    project = open_project(store)
    file = project.roadmap_file or store.layout.root / "ROADMAP.md"
    changes = {QUICK_KEYS.get(key, key): value for key, value in values.items()}
    with store.writing_views():
        return write_roadmap(file, changes, insert=insert)


def roadmap_without_frontmatter(store: Store) -> str | None:
    """Return the name of the roadmap where it has no frontmatter, so that no quick state can be in it."""
    roadmap = open_project(store).roadmap
    if roadmap is None:
        return "ROADMAP.md"
    return roadmap.path if roadmap.frontmatter is None else None


def _held(project: Project, worker: str | None) -> dict[str, str]:
    """Return why plans cannot start: a document is wrong, their commands changed, or this worker cannot do them."""
    refused = {}
    for plan in project.plans:
        try:
            refusal = choose_worker(plan, worker)[1]
        except UnknownWorkerError as error:
            refusal = str(error)
        if refusal is not None:
            refused[plan.id] = refusal
    return refused | _untrusted(project) | project.held


def _untrusted(project: Project) -> dict[str, str]:
    """Return why plans of a trusted project cannot start that execute something else by now."""
    trust = read_trust(project.root)
    if trust is None or project.spec is None:  # not trusted at all is another matter, and plans from Python are anyway
        return {}
    return {plan.id: CHANGED_REASON for plan in project.plans if not trust.covers(commands_of(plan))}


def _plan_info(project: Project, plan: Plan, attempt: SessionRecord | None, held: dict[str, str]) -> PlanInfo:
    info = PlanInfo(
        id=plan.id,
        title=plan.title,
        phase=plan.phase,
        path=plan.path,
        depends_on=tuple(sorted(project.graph.dependencies_of(plan.id))),
        verified=plan.id in project.verified_plans,
        session_id=attempt.id if attempt else None,
    )
    if attempt is not None and attempt.live:
        return info.replace(state="running", reason=attempt.reason, verified=False)
    if attempt is not None and attempt.verdict is not None:
        done = attempt.verdict != "failed"
        return info.replace(
            state="complete" if done else "failed",
            verified=attempt.verdict == "passed",
            reason=None if done else attempt.reason or "verification failed",
        )
    if attempt is not None:
        state = "verifying" if attempt.state == "completed" else "failed"
        return info.replace(state=state, reason=attempt.reason, verified=False)
    if plan.id in project.completed:
        return info.replace(state="complete")
    return info.replace(state="held", reason=held[plan.id]) if plan.id in held else info


def _phases(project: Project, plans: tuple[PlanInfo, ...]) -> tuple[PhaseState, ...]:
    states = {plan.id: plan for plan in plans}
    found = []
    for phase in project.phases:
        done = [states[name] for name in phase.plans if states[name].state == "complete"]
        complete = bool(phase.plans) and len(done) == len(phase.plans)
        found.append(
            PhaseState(
                number=phase.number,
                name=phase.name,
                plans=tuple(phase.plans),
                completed_plans=len(done),
                complete=complete,
                verified=complete and (phase.number in project.verified_phases or all(plan.verified for plan in done)),
            )
        )
    return tuple(found)
