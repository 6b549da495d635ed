"""Where every answer passes: from whichever door, through the journal, and credentials on to the broker.

Values never reach the journal: the broker takes them out of an answer before it is stored.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from harness_nb.errors import (
    CredentialsNotFoundError,
    InvalidMessageError,
    MessageNotFoundError,
    UnknownPlanError,
    UntrustedProjectError,
)
from harness_nb.orchestrator import answers
from harness_nb.orchestrator.broker import Broker, plain_values
from harness_nb.plans import load_project
from harness_nb.protocol.commands import commands_of
from harness_nb.protocol.messages import (
    UNASKED,
    CredentialsProvided,
    OrchestratorMessage,
    parse_orchestrator_message,
    require_known_keys,
)
from harness_nb.sessions.masking import mask_file, with_texts
from harness_nb.store.messages import already_answered
from harness_nb.store.trust import is_trusted, require_trusted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness_nb.credentials import CredentialProvider
    from harness_nb.orchestrator.answers import Answer
    from harness_nb.protocol.credentials import CredentialResult
    from harness_nb.protocol.payloads import AssignTaskPayload
    from harness_nb.protocol.records import MessageRecord
    from harness_nb.store import Store


class Desk:
    """Sends answers and unasked messages; ``broker`` looks credentials up for them."""

    def __init__(self, store: Store, provider: CredentialProvider | None = None) -> None:
        self.store = store
        self.broker = Broker(store, provider)

    def respond(
        self,
        message_type: str,
        session_id: str,
        payload: Mapping[str, Any],
        *,
        in_response_to: str | None = None,
        actor: str,
        door: str,
        plan_is_known: bool = False,
    ) -> MessageRecord:
        """Send a worker a message: the answer to a question, or a task, an abort or a verdict unasked.

        A task answers the ``session_ready`` that waits for one; the plan that it names is looked up, unless
        ``plan_is_known``. Credentials that are ``found`` and come without values are looked up here. Values go to the
        session's shim, and out of the rest of what is said.

        Raises: UnknownMessageTypeError, InvalidMessageError, MessageNotFoundError, WrongAnswerTypeError,
        UnknownOptionError, AlreadyAnsweredError, QuestionExpiredError, SessionEndedError, CredentialsNotFoundError,
        CredentialsDeniedError, PersonWantedError, UnknownPlanError, UntrustedProjectError, ChangedCommandsError,
        ShimFailedError.
        """
        message = self._parsed(message_type, session_id, payload, in_response_to)
        require_known_keys(message)
        if message.type == "assign_task" and not plan_is_known:
            self._require_something_to_do(message.payload)
        if in_response_to is None:
            message = self._addressed(message)
        if message.in_response_to is None:
            self.store.sessions.get(message.session_id)
            record = self.store.messages.send(self._masked(message), actor=actor, door=door)
            self.store.ring()
            return record
        question = self.store.messages.question_for(message)  # a wrong answer must not hand over credentials
        message = self._stage(self._with_values(message, question, actor, door), question)
        message = self._masked(message)
        yes = message if isinstance(message, CredentialsProvided) and message.payload.found else None
        with self.store.journal.write() if yes else nullcontext():  # the yes and the grant, or neither
            if yes is not None:  # first: an answer by file is there as soon as it is written, whatever fails after that
                self.broker.write_down(yes, question, actor=actor, door=door)
            return self.store.questions.answer(message, actor=actor, door=door, mask=mask_file)

    def _parsed(
        self, message_type: str, session_id: str, payload: Mapping[str, Any], in_response_to: str | None
    ) -> OrchestratorMessage:
        return parse_orchestrator_message(
            {
                "id": self.store.new_id(),
                "sessionId": session_id,
                "type": message_type,
                "timestamp": self.store.clock(),
                "inResponseTo": in_response_to,
                "payload": dict(payload),
            }
        )

    def _require_something_to_do(self, task: AssignTaskPayload) -> None:
        if not task.plan:
            if (task.context or "").strip():
                return
            raise InvalidMessageError("assign_task", "payload: it names no plan and has no context to say what to do")
        config, root = self.store.config(), self.store.layout.root
        project = load_project(root, config.spec_dir, config.phase_order)
        if project.plans and not is_trusted(root):
            raise UntrustedProjectError(root)
        plan = project.plan(task.plan)
        if plan is None:
            raise UnknownPlanError(task.plan, [one.id for one in project.plans])
        require_trusted(root, [commands_of(plan)], self.broker.redact)

    def _addressed(self, message: OrchestratorMessage) -> OrchestratorMessage:
        """Return an unasked message as the answer that it is where the worker waits for just that."""
        if message.type not in UNASKED:
            raise MessageNotFoundError("(no inResponseTo)", message.session_id)
        waits: list[MessageRecord] = []
        if message.type == "assign_task":
            waits = self.store.messages.pending(message.session_id, ["session_ready"])
        elif message.type == "abort_task":  # to a worker that waits for a file nothing else would tell
            waits = [one for one in self.store.messages.pending(message.session_id) if one.asked_by == "file"]
        return message.model_copy(update={"in_response_to": waits[0].id}) if waits else message

    def settle(self, question: MessageRecord, answer: Answer, *, actor: str, door: str) -> MessageRecord:
        """Answer a question with a payload from ``answers``.

        Raises: what ``respond`` raises.
        """
        kind, payload = answer
        return self.respond(kind, question.session_id, payload, in_response_to=question.id, actor=actor, door=door)

    def answer(
        self,
        question: MessageRecord,
        value: Any,
        *,
        actor: str,
        door: str,
        notes: str | None = None,
        strict: bool = True,
    ) -> MessageRecord:
        """Answer with a plain value: an option's id or name, yes or no, or words.

        Raises: what ``approve`` raises.
        """
        kind, payload = answers.answer(question, value, actor=actor, notes=notes)
        if kind == "credentials_provided" and payload["found"]:
            return self.approve(question, actor=actor, door=door, notes=notes, strict=strict)
        return self.settle(question, (kind, payload), actor=actor, door=door)

    def approve(
        self,
        question: MessageRecord,
        *,
        actor: str,
        door: str,
        notes: str | None = None,
        strict: bool = True,
        terms: Mapping[str, Any] | None = None,
    ) -> MessageRecord:
        """Say yes to a question; for credentials that includes looking them up and handing them over.

        ``terms`` say for whom a yes to credentials holds (``scope``), ``until`` when, or the ``grant`` it stands on.

        Raises: CredentialsNotFoundError when ``strict`` (else the worker is told), CredentialsDeniedError, and what
        ``respond`` raises.
        """
        kind, payload = answers.approval(question, actor=actor, notes=notes)
        if kind == "credentials_provided":
            earlier = self.store.messages.answer_to(question.id, question.session_id)
            if earlier is not None:
                raise already_answered(question.id, earlier)
            result = self.broker.look_up(question, door)
            if not result.found and strict:
                self._say_missing(question, result, actor, door)
                raise CredentialsNotFoundError(payload["service"], result.error, result.instructions)
            payload |= {
                **(terms or {}),
                "found": result.found,
                "credentials": result.credentials if result.found else {},
                "envVars": list(result.credentials) or payload["envVars"],
                "error": result.error,
                "instructions": result.instructions,
                "source": result.source,
            }
        return self.settle(question, (kind, payload), actor=actor, door=door)

    def _say_missing(self, question: MessageRecord, result: CredentialResult, actor: str, door: str) -> None:
        """Journal a look-up that ended in no answer; one that did is in the answer's own event."""
        asked = {key: question.payload[key] for key in ("service", "context") if question.payload.get(key)}
        data = {"question": question.id, **asked, "found": False, "error": result.error or "not found"}
        self.store.events.add("credentials_missing", session_id=question.session_id, actor=actor, door=door, data=data)

    def _with_values(
        self, message: OrchestratorMessage, question: MessageRecord, actor: str, door: str
    ) -> OrchestratorMessage:
        """Look up what an answer hands over by reference."""
        if message.type != "credentials_provided" or not message.payload.found:
            return message
        self.broker.require_allowed(self.broker.wish_of(question), door)
        if message.payload.credentials or self.broker.is_own_process(message.session_id):
            return message
        result = self.broker.look_up(question, door)
        if not result.found:
            self._say_missing(question, result, actor, door)
            raise CredentialsNotFoundError(str(question.payload.get("service")), result.error, result.instructions)
        found = {"credentials": result.credentials, "env_vars": tuple(result.credentials), "source": result.source}
        return message.model_copy(update={"payload": message.payload.model_copy(update=found)})

    def _stage(self, message: OrchestratorMessage, question: MessageRecord) -> OrchestratorMessage:
        """Give the values of an answer to the session's shim, and return the answer without them."""
        if message.type != "credentials_provided":
            return message
        if not message.payload.found:
            if message.payload.credentials:  # no rule was asked about them, and no grant would tell of them
                raise InvalidMessageError(message.type, "payload.credentials: values come with found: true alone")
            return message
        scope, until = self.broker.terms_of(message.payload, question)
        kept: dict[str, Any] = {"credentials": {}, "scope": scope, "until": until}
        if message.payload.credentials:
            values = plain_values(message.payload.credentials)
            self.broker.hand_over(message.session_id, message.id, values, until)
            kept["env_vars"] = tuple(values)  # and not what its sender says: the grant tells what was handed over
        return message.model_copy(update={"payload": message.payload.model_copy(update=kept)})

    def _masked(self, message: OrchestratorMessage) -> OrchestratorMessage:
        """Take out every value that this session has, and those that passed through here."""
        said = message.payload.to_wire()
        kept = with_texts(said, partial(self.broker.without_values, message.session_id))
        if kept == said:
            return message
        return message.model_copy(update={"payload": type(message.payload).model_validate(kept)})
