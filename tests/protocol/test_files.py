"""The files under .orchestration/, records, policies, roadmap and plan frontmatter: from JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from harness_nb.protocol.base import WireModel, problems_of
from harness_nb.protocol.credentials import CredentialResult, Service
from harness_nb.protocol.files import (
    ActiveFiles,
    Checkpoint,
    CheckpointResponse,
    Config,
    DependencyGraph,
    Policy,
    SessionResult,
    SessionStatus,
)
from harness_nb.protocol.grants import GrantRecord
from harness_nb.protocol.plans import Plan, PlanFrontmatter, RoadmapFrontmatter
from harness_nb.protocol.records import EventRecord, MessageRecord, RunRecord, SessionRecord
from harness_nb.protocol.report import Report
from harness_nb.protocol.state import ProjectState, StateChange

NOON = '"2026-01-02T12:00:00.000Z"'

FULL: list[tuple[type[WireModel], str]] = [
    (DependencyGraph, f"""{{"timestamp": {NOON}, "specDir": "specs/a", "plans": [{{"planId": "01-01",
        "dependsOn": ["00-01"], "filesModified": ["a.py"], "filesRead": ["b.py"], "autonomous": false,
        "checkpoints": ["decision"], "wave": 1}}], "completed": ["00-01"], "running": ["01-01"], "blocked": ["02-01"],
        "available": ["01-02"]}}"""),
    (ActiveFiles, f"""{{"timestamp": {NOON}, "files": [{{"path": "src/", "sessionId": "s", "planId": "01-01",
        "operation": "write", "startedAt": {NOON}}}, {{"path": "b", "sessionId": "s", "planId": "01-01",
        "operation": "append", "startedAt": {NOON}}}]}}"""),
    (SessionStatus, f"""{{"sessionId": "s", "timestamp": {NOON}, "state": "checkpoint", "phase": "1", "plan": "01-01",
        "currentTask": 2, "totalTasks": 3, "taskName": "Load", "message": "m", "reason": "decision"}}"""),
    (Checkpoint, f"""{{"id": "q1", "sessionId": "s", "timestamp": {NOON}, "type": "decision", "phase": "1",
        "plan": "01-01", "decision": "Which?", "options": [{{"id": "a", "name": "A"}}]}}"""),
    (CheckpointResponse, f"""{{"sessionId": "s", "timestamp": {NOON}, "checkpointType": "verification",
        "inResponseTo": "q1", "verified": false, "feedback": "no", "issues": ["dark"]}}"""),
    (CheckpointResponse, f"""{{"sessionId": "s", "timestamp": {NOON}, "checkpointType": "decision",
        "selectedOptionId": "a", "selectedOptionName": "A", "rationale": "r"}}"""),
    (CheckpointResponse, f"""{{"sessionId": "s", "timestamp": {NOON}, "checkpointType": "action",
        "actionCompleted": true, "completedBy": "ada", "notes": "n"}}"""),
    (CheckpointResponse, f"""{{"sessionId": "s", "timestamp": {NOON}, "checkpointType": "credentials", "found": true,
        "envVars": ["A"], "aborted": false, "reason": "r"}}"""),
    (SessionResult, f"""{{"sessionId": "s", "timestamp": {NOON}, "success": true, "phase": "1", "plan": "01-01",
        "summary": "did it", "filesModified": ["a"], "filesCreated": ["b"], "commitHash": "abc"}}"""),
    (SessionResult, f"""{{"sessionId": "s", "timestamp": {NOON}, "success": false, "phase": "1", "plan": "01-01",
        "filesModified": [], "filesCreated": [], "error": "no disk", "recoverable": true,
        "suggestion": "free some"}}"""),
    (Policy, """{"kind": "credentials", "service": "postgres", "plan": "01-01", "tool": "Bash",
        "pattern": "^Which", "after": 60.0, "do": "answer", "answer": "a"}"""),
    (Config, """{"version": "1.1", "specDir": "specs/a", "maxParallelExecutions": 3, "maxParallelResearch": 1,
        "verificationRequired": false, "autoCommit": true, "phaseOrder": "declared", "worker": "runbook",
        "maxRetries": 0, "retryDelay": 0.5, "credentialsDir": "creds", "deliver": "message",
        "maxOutputMegabytes": 10.0, "policies": [{"do": "wait"}], "quietAfter": 60.0, "notify": [],
        "credentialSources": ["keyring", "files"],
        "services": {"acme": {"variables": ["ACME_TOKEN"], "stems": ["acme"]}},
        "grants": [{"service": "acme", "context": "eu", "plan": "01-01", "until": "2026-01-02T12:00:00.000Z",
        "do": "allow"}], "theirOwn": {"key": [1]}}"""),
    (GrantRecord, f"""{{"id": "g", "service": "acme", "context": "eu", "asked": ["A"], "envVars": ["A"],
        "source": "acme.env", "scope": "run", "sessionId": "s", "planId": "01-01", "runId": "r", "grantedAt": {NOON},
        "until": {NOON}, "actor": "ada", "door": "cli", "revokedAt": {NOON}, "revokedBy": "ada"}}"""),
    (SessionRecord, f"""{{"id": "s", "worker": "runbook", "state": "failed", "reason": "lost", "runId": "r",
        "planId": "01-01", "phase": "1", "attempt": 2, "workingDir": ".", "command": ["true"], "taskType": "execute",
        "createdAt": {NOON}, "startedAt": {NOON}, "endedAt": {NOON}, "exitCode": -9, "currentTask": 1, "totalTasks": 2,
        "taskName": "t", "message": "m", "agentSessionId": "a", "verdict": "failed", "report": {{"x": null}},
        "revision": 7, "lives": 2, "resumable": true, "diedAt": {NOON}, "launchedAt": {NOON}, "launcher": {{"pid": 3}},
        "pid": 12}}"""),
    (MessageRecord, f"""{{"seq": 1, "id": "m", "sessionId": "s", "direction": "in", "type": "decision_needed",
        "status": "pending", "timestamp": {NOON}, "payload": {{"options": [], "snake_case": null}},
        "inResponseTo": "q", "askedBy": "file", "actor": "ada", "door": "notebook", "dueAt": {NOON},
        "foreseen": {{"policy": {{"do": "approve", "after": 60.0}}, "at": {NOON}}}}}"""),
    (EventRecord, f"""{{"seq": 1, "timestamp": {NOON}, "kind": "answered", "sessionId": "s", "runId": "r",
        "planId": "p", "actor": "a", "door": "d", "data": {{"k": 1}}}}"""),
    (RunRecord, f"""{{"id": "r", "state": "passed", "options": {{"plans": ["01-01"], "worker": "w", "maxParallel": 2,
        "params": {{"a_b": 1}}, "again": true, "policies": [{{"do": "abort"}}], "inlinePlans": [{{"id": "x"}}],
        "credentialsDir": "c"}}, "createdAt": {NOON}, "endedAt": {NOON}, "report": {{}}, "generation": 2,
        "detached": true, "stopping": true, "trouble": "t", "phases": {{"1": {{}}}}}}"""),
    (Report, f"""{{"target": "01-01", "passed": true, "total": 1, "passedCount": 1, "failedCount": 0, "skippedCount": 0,
        "results": [{{"specId": "a", "type": "file_exists", "passed": true, "error": "e", "output": "o",
        "duration": 1.5, "timestamp": {NOON}, "verifiedBy": "human", "notes": "n", "description": "d",
        "required": true, "skipped": false, "target": "01-01", "seenBy": "ada"}}], "startedAt": {NOON},
        "completedAt": {NOON}, "durationMs": 12.0, "reason": "r"}}"""),
    (RoadmapFrontmatter, """{"version": 1, "project": "p", "milestone": "m", "currentPhase": 3, "currentPlan": "2a",
        "status": "executing", "totalPhases": 7, "completedPhases": 2, "totalPlans": 9, "completedPlans": 8,
        "velocity": {"totalPlansCompleted": 8, "totalExecutionMinutes": 12.5, "averageMinutesPerPlan": 1.5},
        "specDir": "specs/a", "specId": "a", "theirs": {"k": []}}"""),
    (PlanFrontmatter, """{"phase": "010", "plan": "69.1", "title": "t", "type": "execute", "wave": 2,
        "dependsOn": ["01-01"], "filesModified": ["a"], "filesRead": ["b"], "autonomous": false,
        "checkpoints": ["decision"], "credentialsNeeded": [{"service": "aws", "envVars": ["A"], "reason": "r",
        "context": "c"}], "mustHaves": {"truths": ["t"], "artifacts": [{"path": "a", "provides": "p",
        "contains": ["x"], "exports": ["f"], "minLines": 3}], "keyLinks": [{"from": "a", "to": "b", "via": "v",
        "pattern": "p"}], "other": [1]}, "mustPass": [{"id": "a", "type": "file_exists", "path": "a"}],
        "shouldPass": [{"id": "b", "type": "nope"}], "apiBaseUrl": "http://x", "uiBaseUrl": "http://y",
        "timeout": 5000, "theirs": 1}"""),
    (CredentialResult, """{"found": false, "credentials": {}, "error": "e", "instructions": "i",
        "source": "postgres.env",
        "missing": ["A"], "origins": {"B": "postgres.env"}, "warnings": ["w"]}"""),
    (Service, """{"variables": ["A"], "stems": ["a"]}"""),
]  # fmt: skip

MINIMAL: list[tuple[type[WireModel], dict[str, Any], dict[str, Any]]] = [
    (DependencyGraph, {"timestamp": "2026-01-02T12:00:00.000Z"},
     {"specDir": "", "plans": [], "completed": [], "running": [], "blocked": [], "available": []}),
    (ActiveFiles, {"timestamp": "2026-01-02T12:00:00.000Z"}, {"files": []}),
    (SessionStatus, {"sessionId": "s", "timestamp": "2026-01-02T12:00:00.000Z", "state": "running"},
     {"phase": "", "plan": "", "currentTask": 0, "totalTasks": 0}),
    (Checkpoint, {"type": "action"}, {"sessionId": "", "phase": "", "plan": ""}),
    (SessionResult, {"success": True},
     {"sessionId": "", "phase": "", "plan": "", "filesModified": [], "filesCreated": []}),
    (Policy, {"do": "wait"}, {}),
    (Config, {}, {
        "version": 1, "maxParallelExecutions": 2, "maxParallelResearch": 2, "verificationRequired": True,
        "autoCommit": False, "phaseOrder": "implied", "maxRetries": 2, "retryDelay": 2.0, "deliver": "reference",
        "maxOutputMegabytes": 1024.0, "policies": [], "quietAfter": 300.0, "notify": [],
        "credentialSources": ["files"], "services": {}, "grants": [],
    }),
    (RoadmapFrontmatter, {}, {}),
]  # fmt: skip


def name_of(case: Any) -> str:
    return case.__name__ if isinstance(case, type) else ""


@pytest.mark.row(6)
@pytest.mark.parametrize(("model", "text"), FULL, ids=name_of)
def test_a_file_goes_back_to_json_as_it_came(model: type[WireModel], text: str) -> None:
    literal = json.loads(text)
    read = model.model_validate(literal)
    assert read.to_wire() == literal
    assert model.model_validate_json(json.dumps(read.to_wire())) == read


@pytest.mark.row(6)
@pytest.mark.parametrize(("model", "text"), FULL, ids=name_of)
def test_keys_that_nobody_knows_survive(model: type[WireModel], text: str) -> None:
    literal = {**json.loads(text), "fromTheFuture": {"a_b": [1, {"c": None}]}, "with_underscore": "x"}
    assert model.model_validate(literal).to_wire() == literal


@pytest.mark.row(6)
@pytest.mark.parametrize(("model", "given", "defaults"), MINIMAL, ids=name_of)
def test_what_is_left_out_has_its_default(
    model: type[WireModel], given: dict[str, Any], defaults: dict[str, Any]
) -> None:
    assert model.model_validate(given).to_wire() == {**given, **defaults}


@pytest.mark.parametrize(("model", "text"), FULL, ids=name_of)
def test_a_copy_with_changes_keeps_the_rest(model: type[WireModel], text: str) -> None:
    read = model.model_validate(json.loads(text))
    assert read.replace() == read


@pytest.mark.parametrize("word", ["initializing", "running", "checkpoint", "completed", "failed", "hibernating"])
def test_a_state_that_another_program_writes_survives(word: str) -> None:
    literal = {"sessionId": "s", "timestamp": "2026-01-02T12:00:00.000Z", "state": word}
    assert SessionStatus.model_validate(literal).to_wire()["state"] == word
    record = SessionRecord.model_validate({"id": "s", "worker": "w", "workingDir": ".", "createdAt": 0, "state": word})
    assert record.to_wire()["state"] == word


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maxParallelExecutions", 0),
        ("maxRetries", -1),
        ("phaseOrder", "random"),
        ("deliver", "by pigeon"),
        ("policies", [{"do": "dance"}]),
        ("policies", [{"kind": "decision"}]),
        ("policies", [{"do": "wait", "after": -1}]),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(key: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({key: value})
    assert problems_of(caught.value).startswith(key)


def test_a_plan_comes_back_from_the_wire_as_it_went() -> None:
    plan = Plan.model_validate(
        {"id": "03-02", "dependsOn": ["03-01"], "tasks": [{"name": "t", "runs": [{"lang": "sh", "code": "make"}]}]}
    )
    assert Plan.model_validate(json.loads(json.dumps(plan.to_wire()))) == plan
    assert (plan.phase, plan.number, plan.depends_on) == ("3", "02", ["03-01"])


def test_phase_and_plan_stay_text_as_they_were_written() -> None:
    read = PlanFrontmatter.model_validate({"phase": "010", "plan": "4.10", "dependsOn": "01-01, 01-02 (schema, api)"})
    assert (read.phase, read.plan, read.depends_on) == ("010", "4.10", ["01-01", "01-02 (schema, api)"])


@pytest.mark.row(7)
def test_a_roadmaps_position_is_a_number_where_it_was_written_as_one() -> None:
    read = RoadmapFrontmatter.model_validate({"current_phase": "3", "currentPlan": "02", "status": "resting"})
    assert (read.current_phase, read.current_plan, read.status) == (3, "02", "resting")


def test_a_project_state_finds_its_plans_and_says_how_far_it_is() -> None:
    state = ProjectState.model_validate(
        {
            "root": "/p",
            "graph": {"timestamp": "2026-01-02T12:00:00Z"},
            "plans": [{"id": "01-01", "state": "complete"}, {"id": "01-02"}],
            "phases": [{"number": "1", "name": "Data", "plans": ["01-01", "01-02"], "completedPlans": 1,
                        "verified": True}],
            "questions": 2,
        }
    )  # fmt: skip
    assert state.completed == ("01-01",)
    assert state.plan("01-02").state == "waiting"
    assert str(state) == "p: 1 of 2 plans complete, 2 questions open\n  phase 1 Data: 1 of 2, verified"
    with pytest.raises(KeyError):
        state.plan("09-09")
    assert ProjectState.model_validate(state.to_wire()) == state


def test_a_change_of_state_is_as_long_as_its_sessions() -> None:
    assert len(StateChange(cursor=4)) == 0
    assert StateChange(cursor=4).to_wire() == {"sessions": [], "cursor": 4}
