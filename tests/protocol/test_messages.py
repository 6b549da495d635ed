"""The fifteen messages: what is read from the wire goes back to it, and what cannot be read is said in a sentence."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import SecretStr

from harness_nb.errors import InvalidMessageError, UnknownMessageTypeError
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.messages import (
    ANSWERS,
    ORCHESTRATOR_TYPES,
    QUESTIONS,
    UNASKED,
    WORKER_TYPES,
    CredentialsProvided,
    WorkerEnvelope,
    parse_orchestrator_message,
    parse_worker_message,
)

PLAN = '"phase": "3", "plan": "03-02"'

WORKER = {
    "session_ready": '{"workingDir": "/w", "capabilities": ["execute", "verify"]}',
    "task_started": f'{{{PLAN}, "taskNumber": 1, "totalTasks": 4, "taskName": "Load", "planPath": "p/03-02-PLAN.md"}}',
    "progress_update": (f'{{{PLAN}, "taskNumber": 1, "totalTasks": 4, "message": "halfway", "percentComplete": 50.5}}'),
    "verification_needed": (
        f'{{{PLAN}, "whatBuilt": "a page", "howToVerify": ["open it"], "artifacts": ["page.html"]}}'
    ),
    "decision_needed": (
        f'{{{PLAN}, "decision": "Which store?", "context": "small data", "options": [{{"id": "sqlite", '
        '"name": "SQLite", "description": "one file", "recommended": true, "pros": ["simple"], "cons": "one host"}], '
        '"permission": {"tool": "Bash", "input": {"command": "ls"}, "suggestion": "allow"}}'
    ),
    "action_needed": f'{{{PLAN}, "action": "Log in", "instructions": "At the site", "reason": "no key"}}',
    "credentials_needed": (
        f'{{{PLAN}, "service": "postgres", "envVars": ["DATABASE_URL"], "reason": "to read", "context": "staging"}}'
    ),
    "task_completed": (
        f'{{{PLAN}, "taskNumber": 1, "totalTasks": 4, "summary": "loaded", "filesModified": ["a.py"], '
        '"filesCreated": ["b.py"], "commitHash": "abc123"}'
    ),
    "task_failed": (
        f'{{{PLAN}, "taskNumber": 1, "error": "no disk", "recoverable": true, "suggestion": "free some space"}}'
    ),
}

ORCHESTRATOR = {
    "assign_task": (
        f'{{{PLAN}, "planPath": "p/03-02-PLAN.md", "specDir": "specs/a", "taskType": "research", "context": "again"}}'
    ),
    "verification_result": (
        f'{{{PLAN}, "verified": false, "feedback": "too dark", "issues": ["contrast"], "nextSteps": ["lighten"]}}'
    ),
    "decision_made": (
        f'{{{PLAN}, "decision": "Which store?", "selectedOptionId": "sqlite", "selectedOptionName": "SQLite", '
        '"rationale": "simple"}'
    ),
    "action_completed": f'{{{PLAN}, "action": "Log in", "completedBy": "ada", "notes": "done"}}',
    "credentials_provided": (
        f'{{{PLAN}, "service": "postgres", "credentials": {{}}, "found": true, "envVars": ["DATABASE_URL"], '
        '"error": "none", "instructions": "none"}'
    ),
    "abort_task": f'{{{PLAN}, "reason": "stop", "shouldRetry": true, "retryInstructions": "later"}}',
}

DEFAULTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "session_ready": ({"workingDir": "/w"}, {"capabilities": []}),
    "task_started": ({"taskNumber": 1, "totalTasks": 1, "taskName": "x"}, {"planPath": ""}),
    "progress_update": ({"taskNumber": 1, "totalTasks": 1, "message": "x"}, {}),
    "verification_needed": ({"whatBuilt": "x"}, {"howToVerify": [], "artifacts": []}),
    "decision_needed": ({"decision": "x"}, {"context": "", "options": []}),
    "action_needed": ({"action": "x"}, {"instructions": "", "reason": ""}),
    "credentials_needed": ({"service": "x"}, {"envVars": [], "reason": ""}),
    "task_completed": (
        {"taskNumber": 1, "totalTasks": 1, "summary": "x"}, {"filesModified": [], "filesCreated": []},
    ),
    "task_failed": ({"taskNumber": 1, "error": "x", "recoverable": False}, {}),
    "assign_task": ({}, {"planPath": "", "specDir": "", "taskType": "execute"}),
    "verification_result": ({"verified": True}, {}),
    "decision_made": ({"selectedOptionId": "a"}, {"decision": "", "selectedOptionName": ""}),
    "action_completed": ({}, {"action": "", "completedBy": ""}),
    "credentials_provided": ({"found": False}, {"service": "", "credentials": {}, "envVars": []}),
    "abort_task": ({"reason": "x"}, {"shouldRetry": False}),
}  # fmt: skip


def worker_literal(kind: str) -> dict[str, Any]:
    text = (
        f'{{"id": "m1", "sessionId": "s1", "type": "{kind}", "timestamp": "2026-01-02T03:04:05.678Z", '
        f'"status": "pending", "payload": {WORKER[kind]}}}'
    )
    return dict(json.loads(text))


def orchestrator_literal(kind: str) -> dict[str, Any]:
    text = (
        f'{{"id": "m2", "sessionId": "s1", "type": "{kind}", "timestamp": "2026-01-02T03:04:05.678Z", '
        f'"inResponseTo": "m1", "payload": {ORCHESTRATOR[kind]}}}'
    )
    return dict(json.loads(text))


def parse(literal: Any) -> Any:
    return (parse_worker_message if literal["type"] in WORKER else parse_orchestrator_message)(literal)


LITERALS = [worker_literal(kind) for kind in WORKER] + [orchestrator_literal(kind) for kind in ORCHESTRATOR]
by_type = pytest.mark.parametrize("literal", LITERALS, ids=lambda literal: str(literal["type"]))


def test_there_is_an_example_of_each_of_the_nine_and_the_six() -> None:
    assert set(WORKER) == set(WORKER_TYPES)
    assert set(ORCHESTRATOR) == set(ORCHESTRATOR_TYPES)
    assert (len(WORKER_TYPES), len(ORCHESTRATOR_TYPES)) == (9, 6)


@by_type
def test_a_message_goes_back_to_the_wire_as_it_came(literal: dict[str, Any]) -> None:
    message = parse(copy.deepcopy(literal))
    assert message.to_wire() == literal
    assert parse(message.to_wire()) == message
    assert json.loads(message.model_dump_json(exclude_none=True)) == literal


@by_type
def test_keys_that_nobody_knows_survive_at_every_level(literal: dict[str, Any]) -> None:
    more = copy.deepcopy(literal)
    more["newKey"] = {"deep": [1, None, {"snake_case": "stays"}]}
    more["payload"]["otherKey"] = "x"
    for option in more["payload"].get("options", []):
        option["weight"] = 3
    message = parse(more)
    assert message.to_wire() == more
    assert message.unknown_keys == ("newKey",)
    assert message.payload.unknown_keys == ("otherKey",)
    assert message.replace(id="m9").to_wire() == {**more, "id": "m9"}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_what_is_optional_may_be_left_out(kind: str) -> None:
    given, defaults = DEFAULTS[kind]
    envelope = {"id": "m", "sessionId": "s", "type": kind, "timestamp": "2026-01-02T03:04:05Z"}
    plan = {} if kind == "session_ready" else {"phase": "", "plan": ""}
    status = {"status": "pending"} if kind in WORKER else {}
    assert parse({**envelope, "payload": given}).to_wire() == {
        **envelope, **status, "timestamp": "2026-01-02T03:04:05.000Z", "payload": {**plan, **given, **defaults},
    }  # fmt: skip


@pytest.mark.parametrize("status", ["pending", "responded", "expired", "snoozed"])
def test_a_status_that_nobody_knows_survives(status: str) -> None:
    message = parse_worker_message({**worker_literal("action_needed"), "status": status})
    assert isinstance(message, WorkerEnvelope)
    assert message.to_wire()["status"] == status


def test_a_task_type_that_nobody_knows_survives() -> None:
    literal = orchestrator_literal("assign_task")
    literal["payload"]["taskType"] = "refactor"
    assert parse(literal).to_wire() == literal


@pytest.mark.parametrize("raw", [{"type": "nope"}, {"type": ["x"]}, {"type": None}, {}, [], None, "text"])
def test_an_unknown_type_is_one_sentence_that_lists_the_known_ones(raw: object) -> None:
    for read, known in ((parse_worker_message, WORKER_TYPES), (parse_orchestrator_message, ORCHESTRATOR_TYPES)):
        with pytest.raises(UnknownMessageTypeError) as caught:
            read(raw)
        name = raw.get("type") if isinstance(raw, dict) else None
        assert str(caught.value) == f"Unknown message type {name!r}. Use one of: {', '.join(known)}."
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_worker_cannot_say_what_only_the_orchestrator_says() -> None:
    with pytest.raises(UnknownMessageTypeError):
        parse_worker_message(orchestrator_literal("abort_task"))
    with pytest.raises(UnknownMessageTypeError):
        parse_orchestrator_message(worker_literal("task_failed"))


def test_wrong_fields_are_all_named_in_one_sentence_without_their_values() -> None:
    literal = worker_literal("task_completed")
    literal["payload"] = {"taskNumber": "seven-secret", "totalTasks": 4}
    with pytest.raises(InvalidMessageError) as caught:
        parse(literal)
    assert str(caught.value) == (
        "This task_completed message cannot be used: payload.taskNumber: input should be a valid integer, "
        "unable to parse string as an integer; payload.summary: field required. "
        "Correct these fields and send it again."
    )


@pytest.mark.parametrize("missing", ["id", "sessionId", "timestamp", "payload"])
def test_each_part_of_the_envelope_is_needed(missing: str) -> None:
    literal = {key: value for key, value in worker_literal("action_needed").items() if key != missing}
    with pytest.raises(InvalidMessageError, match=rf"{missing}: field required"):
        parse(literal)


class TestTimestamps:
    @pytest.mark.parametrize(
        ("written", "wire"),
        [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
            ("2026-01-02T05:04:05.5+02:00", "2026-01-02T03:04:05.500Z"),
            ("2026-01-02T03:04:05", "2026-01-02T03:04:05.000Z"),
            ("2026-01-01T23:04:05.123-04:00", "2026-01-02T03:04:05.123Z"),
        ],
    )
    def test_they_are_iso_8601_in_utc_whatever_zone_they_came_in(self, written: str, wire: str) -> None:
        message = parse({**worker_literal("action_needed"), "timestamp": written})
        assert message.timestamp.tzinfo is UTC
        assert message.to_wire()["timestamp"] == wire

    def test_a_moment_of_another_zone_is_written_in_utc(self) -> None:
        moment = datetime(2026, 1, 2, 5, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=2)))
        assert format_timestamp(moment) == "2026-01-02T03:04:05.999Z"

    def test_what_is_no_moment_is_refused(self) -> None:
        with pytest.raises(InvalidMessageError, match="timestamp"):
            parse({**worker_literal("action_needed"), "timestamp": "yesterday"})


class TestSecrets:
    VALUE = "postgresql://ada:hunter2-very-secret@db/x"

    def message(self) -> CredentialsProvided:
        literal = orchestrator_literal("credentials_provided")
        literal["payload"]["credentials"] = {"DATABASE_URL": self.VALUE}
        message = parse(literal)
        assert isinstance(message, CredentialsProvided)
        return message

    @pytest.mark.row(2)
    def test_values_show_up_nowhere_but_where_they_are_asked_for(self) -> None:
        message = self.message()
        value = message.payload.credentials["DATABASE_URL"]
        assert isinstance(value, SecretStr)
        assert value.get_secret_value() == self.VALUE
        shown = [str(message), repr(message), str(message.payload), json.dumps(message.to_wire())]
        shown += [message.model_dump_json(), repr(message.model_dump()), str(message.replace(id="m3"))]
        assert all("hunter2" not in text for text in shown)

    @pytest.mark.row(2)
    def test_the_wire_has_no_stars_that_could_be_read_back_as_a_value(self) -> None:
        assert self.message().to_wire()["payload"]["credentials"] == {}
        assert json.loads(self.message().model_dump_json())["payload"]["credentials"] == {}

    def test_a_changed_copy_keeps_the_values(self) -> None:
        copied = self.message().replace(id="m3")
        assert copied.payload.credentials["DATABASE_URL"].get_secret_value() == self.VALUE

    @pytest.mark.row(2)
    def test_a_refused_message_does_not_tell_its_values(self) -> None:
        literal = orchestrator_literal("credentials_provided")
        literal["payload"].update(credentials={"DATABASE_URL": [self.VALUE]}, found="hunter2")
        with pytest.raises(InvalidMessageError) as caught:
            parse(literal)
        assert "payload.credentials: input should be a valid string" in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_each_question_has_the_answer_that_the_protocol_gives_it() -> None:
    assert ANSWERS == {
        "session_ready": "assign_task",
        "verification_needed": "verification_result",
        "decision_needed": "decision_made",
        "action_needed": "action_completed",
        "credentials_needed": "credentials_provided",
    }
    assert set(QUESTIONS) == set(ANSWERS) - {"session_ready"}
    assert set(UNASKED) == {"assign_task", "abort_task", "verification_result"}


def test_messages_are_frozen() -> None:
    message = parse(worker_literal("action_needed"))
    with pytest.raises(ValueError, match="frozen"):
        message.id = "other"
