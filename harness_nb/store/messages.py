"""Messages in the journal: what workers say, what they are told, and the one answer to each question.

Which of many answers wins is decided here by a unique index; ``questions.py`` lets files take part in that. An id is
its session's own: a shell script may well call its question ``q1`` in every attempt.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness_nb.errors import (
    AlreadyAnsweredError,
    ForeignMessageError,
    MessageNotFoundError,
    QuestionExpiredError,
    SessionEndedError,
    UnknownOptionError,
    WrongAnswerTypeError,
)
from harness_nb.protocol.base import format_timestamp
from harness_nb.protocol.entrance import whole
from harness_nb.protocol.files import CHECKPOINT_TYPES
from harness_nb.protocol.messages import (
    ANSWERS,
    QUESTIONS,
    UNASKED,
    Envelope,
    OrchestratorMessage,
    WorkerMessage,
    require_known_keys,
)
from harness_nb.protocol.records import Foreseen, MessageRecord, SessionRecord
from harness_nb.protocol.wording import message_text, through
from harness_nb.store.message_effects import effects_of, handed_over, said_unasked
from harness_nb.store.sessions import AMONG

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from harness_nb.store.events import Events
    from harness_nb.store.journal import Journal
    from harness_nb.store.sessions import Sessions


class Messages:
    """Every message of the project."""

    def __init__(
        self,
        journal: Journal,
        sessions: Sessions,
        events: Events,
        refused: Callable[[ForeignMessageError], Exception] = lambda error: error,
    ) -> None:
        self._refused = refused
        self._journal = journal
        self._sessions = sessions
        self._events = events

    def post(self, message: WorkerMessage, *, asked_by: str = "message") -> MessageRecord:
        """Store what a worker says and what follows for its session; the same id twice is stored once.

        Raises: SessionNotFoundError.
        """
        with self._journal.write():
            session = self._sessions.get(message.session_id)
            known = self.find(message.id, session.id)
            if known is not None:
                return known
            status = self._first_status(message.type, session)
            record = self._insert(message, "in", status, asked_by=asked_by)
            if session.live:
                self._sessions.update(session.id, message.type, **effects_of(message.type, record.payload, session))
            return record

    def answer(self, message: OrchestratorMessage, *, actor: str, door: str) -> MessageRecord:
        """Store the answer to a question.

        Raises: InvalidMessageError, and what ``question_for`` raises.
        """
        require_known_keys(message)
        with self._journal.write() as connection:
            question = self.question_for(message)
            taken = "responded" if question.asked_by == "file" else "pending"  # a file has its own way of being taken
            record = self._insert(message, "out", taken, actor=actor, door=door)
            data = question.replace(status="responded")
            connection.execute(
                "UPDATE messages SET status = 'responded', data = ? WHERE seq = ?", (_json(data), question.seq)
            )
            said = {"question": question.id, "type": message.type, "answer": summary_of(record), **handed_over(record)}
            self._events.add("answered", session_id=message.session_id, actor=actor, door=door, data=said)
            self._wake(message.session_id)
            return record

    def send(self, message: OrchestratorMessage, *, actor: str, door: str, with_start: bool = False) -> MessageRecord:
        """Store a message that a worker did not ask for: a task, an abort or a verdict.

        A task that comes ``with_start`` is no act of its own: whoever started the session has assigned it.

        Raises: SessionNotFoundError, SessionEndedError, WrongAnswerTypeError.
        """
        if message.type not in UNASKED:
            raise WrongAnswerTypeError("(nothing)", message.type, None)
        with self._journal.write():
            if not self._sessions.get(message.session_id).live:
                raise SessionEndedError(message.session_id)
            session = self._sessions.get(message.session_id)
            who = {} if with_start else {"actor": actor, "door": door}
            self._events.add(
                message.type, session_id=session.id, run_id=session.run_id, plan_id=session.plan_id,
                data=said_unasked(message), **who,
            )  # fmt: skip
            unasked = message.model_copy(update={"in_response_to": None})
            return self._insert(unasked, "out", "pending", actor=actor, door=door)

    def take(self, session_id: str, question_id: str | None = None) -> MessageRecord | None:
        """Hand the worker the answer to a question, or else the oldest message it has not had; None for nothing.

        An abort that came unasked is for whoever waits, and a task that came early for whoever said to be ready.
        """
        with self._journal.write() as connection:
            if question_id is not None:
                found = self.answer_to(question_id, session_id) or self._instead_of_answer(question_id, session_id)
            else:
                found = next(iter(self._open(session_id, "out", limit=1)), None)
            if found is None or found.session_id != session_id:
                return None
            taken = found.replace(status="responded")
            connection.execute(
                "UPDATE messages SET status = 'responded', data = ? WHERE seq = ?", (_json(taken), found.seq)
            )
            return taken

    def give_back(self, taken: MessageRecord) -> None:
        """Undo a ``take`` whose message did not reach the worker: the next who asks gets it."""
        with self._journal.write() as connection:
            connection.execute(
                "UPDATE messages SET status = 'pending', data = ? WHERE seq = ?",
                (_json(taken.replace(status="pending")), taken.seq),
            )

    def _instead_of_answer(self, question_id: str, session_id: str) -> MessageRecord | None:
        asked = self.find(question_id, session_id)
        lawful = {"abort_task", ANSWERS["session_ready"]} if asked and asked.type == "session_ready" else {"abort_task"}
        untaken = (one for one in self._open(session_id, "out") if one.in_response_to is None)
        return next((one for one in untaken if one.type in lawful), None)

    def question_for(self, message: OrchestratorMessage) -> MessageRecord:
        """Return the open question that a message lawfully answers.

        Raises: MessageNotFoundError, WrongAnswerTypeError, UnknownOptionError, AlreadyAnsweredError,
        QuestionExpiredError.
        """
        wanted = message.in_response_to or ""
        question = self.find(wanted, message.session_id)
        if question is None or question.direction != "in":
            raise self._not_found(wanted, message.session_id)
        expected = ANSWERS.get(question.type)
        if expected is None or message.type not in (expected, "abort_task"):
            raise WrongAnswerTypeError(question.type, message.type, expected)
        if question.status == "expired":
            raise QuestionExpiredError(question.id)
        earlier = self.answer_to(question.id, question.session_id)
        if earlier is not None:
            raise already_answered(question.id, earlier)
        if message.type == "decision_made":
            offered = [option["id"] for option in question.payload.get("options", ())]
            if offered and message.payload.selected_option_id not in offered:
                raise UnknownOptionError(message.payload.selected_option_id, offered)
        return question

    def get(self, message_id: str, session_id: str | None = None) -> MessageRecord:
        """Return one message; where several sessions use the id, an open one before others, then the newest.

        Raises: MessageNotFoundError.
        """
        record = self.find(message_id, session_id)
        if record is not None:
            return record
        raise self._not_found(message_id, session_id)

    def _not_found(self, message_id: str, session_id: str | None) -> Exception:
        """Return what to raise; that a message is another session's is written down."""
        other = self.find(message_id) if session_id is not None else None
        if other is None or session_id is None or other.session_id == session_id:
            return MessageNotFoundError(message_id, session_id)
        return self._refused(ForeignMessageError(message_id, session_id, other.session_id))

    def at(self, seq: int) -> MessageRecord:
        """Return the message with this number.

        Raises: MessageNotFoundError.
        """
        rows = self._journal.read("SELECT seq, data FROM messages WHERE seq = ?", (seq,))
        if not rows:
            raise MessageNotFoundError(str(seq), None)
        return _record(rows[0])

    def foresee(self, seq: int, foreseen: Foreseen) -> MessageRecord:
        """Write down what comes of an open question by itself, unless that was done before; return the question."""
        with self._journal.write() as connection:
            question = self.at(seq)
            if question.foreseen is not None or question.status != "pending":
                return question
            record = question.replace(foreseen=foreseen)
            data = {"question": question.id, "do": foreseen.policy.do, "at": format_timestamp(foreseen.at)}
            self._events.add("foreseen", session_id=question.session_id, data=data)
            connection.execute("UPDATE messages SET data = ? WHERE seq = ?", (_json(record), seq))
            return record

    def find(self, message_id: str, session_id: str | None = None) -> MessageRecord | None:
        """Return one message as ``get`` does, or None."""
        where, values = ("id = ?", [message_id]) if session_id is None else (
            "id = ? AND session_id = ?", [message_id, session_id]
        )  # fmt: skip
        try:
            rows = self._journal.read(
                f"SELECT seq, data FROM messages WHERE {where} ORDER BY status = 'pending' DESC, seq DESC LIMIT 1",  # noqa: S608 — our own words
                values,
            )
        except UnicodeEncodeError:  # an id that is not whole in UTF-8 is nobody's
            return None
        return _record(rows[0]) if rows else None

    def answer_to(self, message_id: str, session_id: str | None = None) -> MessageRecord | None:
        """Return the answer to a question, or None while there is none."""
        if session_id is None:
            question = self.find(message_id)
            if question is None:
                return None
            session_id = question.session_id
        rows = self._journal.read(
            "SELECT seq, data FROM messages WHERE session_id = ? AND in_response_to = ?", (session_id, message_id)
        )
        return _record(rows[0]) if rows else None

    def answered_by_file(self, session_id: str, identity: str) -> MessageRecord | None:
        """Return the answer that was read from this very file."""
        rows = self._journal.read(
            "SELECT seq, data FROM messages WHERE session_id = ? AND direction = 'out' "
            "AND json_extract(data, '$.payload.fileIdentity') = ?",
            (session_id, identity),
        )
        return _record(rows[0]) if rows else None

    def ids(self, session_id: str) -> set[str]:
        """Return the ids of all messages of a session."""
        rows = self._journal.read("SELECT id FROM messages WHERE session_id = ?", (session_id,))
        return {row["id"] for row in rows}

    def pending(self, session_id: str | None = None, types: Iterable[str] | None = None) -> list[MessageRecord]:
        """Return the open questions, oldest first."""
        return self._open(session_id, "in", types=QUESTIONS if types is None else types)

    def oldest_pending(self, session_id: str) -> MessageRecord | None:
        """Return the oldest open question of a session, or None."""
        return next(iter(self._open(session_id, "in", types=QUESTIONS, limit=1)), None)

    def count_pending(self) -> int:
        """Return how many questions are open."""
        where, values = _open_where(None, "in", QUESTIONS)
        return int(self._journal.read(f"SELECT count(*) FROM messages WHERE {where}", values)[0][0])  # noqa: S608 — our own words

    def waits_for(self, session_id: str) -> dict[str, str | None]:
        """Return state and reason of a session whose worker is at work, or waits for the answer to a question."""
        waiting = [one for one in self.pending(session_id) if one.type in CHECKPOINT_TYPES]
        if not waiting:
            return {"state": "running", "reason": None}
        return {"state": "checkpoint", "reason": CHECKPOINT_TYPES[waiting[-1].type]}

    def select(
        self, session_id: str | None = None, *, direction: str | None = None, since: int = 0
    ) -> list[MessageRecord]:
        """Return messages in the order they were stored."""
        where, values = ["seq > ?"], [since]
        for column, value in (("session_id", session_id), ("direction", direction)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)  # type: ignore[arg-type]
        rows = self._journal.read(
            f"SELECT seq, data FROM messages WHERE {' AND '.join(where)} ORDER BY seq",  # noqa: S608 — our own words
            values,
        )
        return [_record(row) for row in rows]

    def standing_on(self, grant_id: str) -> list[tuple[str, str]]:
        """Return the answers that stand on an earlier yes, each as its session's id and its own."""
        rows = self._journal.read(
            "SELECT session_id, id FROM messages WHERE type = 'credentials_provided' "
            "AND json_extract(data, '$.payload.grant') = ?",
            (grant_id,),
        )
        return [(row["session_id"], row["id"]) for row in rows]

    def _first_status(self, kind: str, session: SessionRecord) -> str:
        if kind not in ANSWERS:
            return "responded"
        if not session.live:
            return "expired"
        waiting = self._open(session.id, "out") if kind == "session_ready" else []
        return "responded" if any(one.type == "assign_task" for one in waiting) else "pending"

    def _open(
        self, session_id: str | None, direction: str, *, types: Iterable[str] | None = None, limit: int = -1
    ) -> list[MessageRecord]:
        where, values = _open_where(session_id, direction, types)
        # in order of the open ones; without the sign, all messages that there ever were would be read in theirs
        order = "+seq" if session_id is None else "seq"
        rows = self._journal.read(
            f"SELECT seq, data FROM messages WHERE {where} ORDER BY {order} LIMIT {limit}",  # noqa: S608 — our own words
            values,
        )
        return [_record(row) for row in rows]

    def _insert(self, message: Envelope, direction: str, status: str, **more: Any) -> MessageRecord:
        wire = message.to_wire()
        if wire["payload"].get("credentials"):
            wire["payload"]["credentials"] = {}  # values never reach the disk, whoever sent them
        record = MessageRecord.model_validate({**wire, "direction": direction, "status": status, **more})
        with self._journal.write() as connection:
            cursor = connection.execute(
                "INSERT INTO messages (id, session_id, direction, type, status, in_response_to, data) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    record.id, record.session_id, direction, record.type, status,
                    record.in_response_to, _json(record),
                ),
            )  # fmt: skip
        return record.model_copy(update={"seq": cursor.lastrowid})

    def _wake(self, session_id: str) -> None:
        session = self._sessions.get(session_id)
        if session.state == "checkpoint" and not self.pending(session_id):
            self._sessions.update(session_id, "resumed", state="running", reason=None)


def _open_where(session_id: str | None, direction: str, types: Iterable[str] | None) -> tuple[str, list[str]]:
    where, values = "status = 'pending' AND direction = ?", [direction]
    if session_id is not None:
        where, values = f"{where} AND session_id = ?", [*values, session_id]
    if types is not None:
        where, values = f"{where} AND type {AMONG}", [*values, json.dumps(sorted(types))]
    return where, values


def already_answered(message_id: str, earlier: MessageRecord) -> AlreadyAnsweredError:
    """Return the error that tells a door who was faster."""
    return AlreadyAnsweredError(
        message_id,
        actor=earlier.actor,
        door=earlier.door,
        by=f"{earlier.actor or 'somebody'}{through(earlier.actor, earlier.door)}",
        at=format_timestamp(earlier.timestamp),
        what=summary_of(earlier),
    )


def summary_of(answer: MessageRecord) -> str:
    """Return what an answer says, in a few words."""
    return message_text(answer.type, answer.payload)


def _record(row: sqlite3.Row) -> MessageRecord:
    content = _DECODER.decode(row["data"])
    if "\\ud" in row["data"]:  # as ASCII; an emoji's two halves, or one that an earlier version let in by itself
        content = whole(content)
    return MessageRecord.model_validate({**content, "seq": row["seq"]})


_DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # NaN, which an earlier version let in


def _json(record: MessageRecord) -> str:
    return json.dumps(record.to_wire())
