"""Between those who may say yes and a session's memory: looks credentials up, and hands them over.

Values go to the session's shim and nowhere else, with every form that they are masked in. They are staged under the
answer's id before that is stored, and handed out only to a worker that holds that answer: of two doors that say yes at
once, the loser's values are staged under an id nobody asks for. ``redact`` masks what passed through here, and what
this very process has in its environment.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from harness_nb.credentials import CredentialProvider, Redactor, configured_provider
from harness_nb.credentials.forms import known_variables, masks_of
from harness_nb.errors import (
    CredentialsDeniedError,
    CredentialsNotFoundError,
    GrantNotFoundError,
    HarnessError,
    InvalidMessageError,
    PersonWantedError,
    ShimFailedError,
    ShimSilentError,
)
from harness_nb.orchestrator.standing import StandingGrants, Wish, covers, wish_of
from harness_nb.protocol.grants import GrantRecord, moment_until
from harness_nb.sessions import ask_shim
from harness_nb.sessions.channel import is_listening
from harness_nb.sessions.masking import mask_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from harness_nb.protocol.credentials import CredentialResult
    from harness_nb.protocol.messages import CredentialsProvided
    from harness_nb.protocol.payloads import CredentialsProvidedPayload
    from harness_nb.protocol.records import MessageRecord, SessionRecord
    from harness_nb.store import Store


NO_PERSONS = ("mcp", "policy")
"""The doors through which no person speaks: agents', and what answers by itself."""


class Broker:
    """Looks credentials up for one project's sessions, and writes down who allowed them."""

    def __init__(self, store: Store, provider: CredentialProvider | None = None) -> None:
        self.standing = StandingGrants(store)
        services = self.standing.config().services
        self.redact = Redactor(known_variables(os.environ, services))  # what this process has, its checks may print
        self._store = store
        self._provider = provider

    @property
    def provider(self) -> CredentialProvider:
        """Where credentials are looked up: the one that was given, else what the settings say."""
        if self._provider is not None:
            return self._provider
        return configured_provider(self._store.layout.root, self._store.config())

    @property
    def tie(self) -> str | None:
        """Why what is looked up here can be looked up in this process alone, or None."""
        if self._provider is None or self._provider.is_plain:
            return None
        return "its credentials come from a provider that only this process has"

    @property
    def directory(self) -> str | None:
        """Where another process is to look up, too: None where the settings say that."""
        return None if self._provider is None else os.fspath(self._provider.directory)

    @property
    def delivers_in_message(self) -> bool:
        """Whether the settings put values into the answers that workers get."""
        return self.standing.config().deliver == "message"

    def use(self, provider: CredentialProvider) -> None:
        """Look credentials up there from now on."""
        self._provider = provider

    # --- who may -----------------------------------------------------------------------------

    def require_allowed(self, wish: Wish, door: str | None = None) -> None:
        """Make sure that no rule denies a wish, and that only a person says yes where one is to be asked.

        Raises: CredentialsDeniedError, PersonWantedError; UnreadableFileError where nobody knows what the rules say.
        """
        self.standing.config.required()
        standing = self.standing.for_wish(wish)
        if standing is not None and standing.do == "deny":
            raise CredentialsDeniedError(wish.service, wish.context)
        if standing is not None and standing.do == "ask" and door in NO_PERSONS:
            raise PersonWantedError(wish.service, wish.context)

    def look_up(self, question: MessageRecord, door: str | None = None) -> CredentialResult:
        """Return what a question asks for.

        Raises: CredentialsDeniedError, PersonWantedError.
        """
        wish = self.wish_of(question)
        self.require_allowed(wish, door)
        result = self.provider.lookup(wish.service, wish.asked or None, wish.context)
        self._warn(question, result)
        return result

    def _warn(self, question: MessageRecord, result: CredentialResult) -> None:
        """Journal what is wrong where the values come from, such as a file that others can read; once a question."""
        kind, said = "credentials_warning", {"question": question.id, "reason": " ".join(result.warnings)}
        earlier = self._store.events.select(kind=kind, session_id=question.session_id) if result.warnings else []
        if result.warnings and said not in [one.data for one in earlier]:
            self._store.events.add(kind, session_id=question.session_id, data=said)

    def wish_of(self, question: MessageRecord) -> Wish:
        """Return what a question asks for, and for whom."""
        return wish_of(question, self._store)

    def found_for_start(self, references: Mapping[str, str | None], session: SessionRecord) -> list[CredentialResult]:
        """Look up what a session is to be started with: services, each with its context.

        Raises: CredentialsDeniedError, CredentialsNotFoundError.
        """
        found = []
        for service, context in references.items():
            self.require_allowed(Wish(service, context, (), session.id, session.plan_id, session.run_id))
            result = self.provider.lookup(service, None, context)
            if not result.found:
                raise CredentialsNotFoundError(service, result.error, result.instructions)
            found.append(result)
        return found

    def write_down_start(
        self, session: SessionRecord, found: Iterable[tuple[str, str | None, CredentialResult]], actor: str, door: str
    ) -> None:
        """Journal what a session is started with: services, their contexts, and what was found."""
        for service, context, result in found:
            self._store.grants.add(
                GrantRecord(
                    id=f"{session.id}-{service}", service=service, context=context, env_vars=tuple(result.credentials),
                    source=result.source, session_id=session.id, plan_id=session.plan_id, run_id=session.run_id,
                    granted_at=self._store.clock(), actor=actor, door=door,
                )
            )  # fmt: skip

    def terms_of(self, payload: CredentialsProvidedPayload, question: MessageRecord) -> tuple[str, datetime | None]:
        """Return for whom a yes is meant and until when; one that stands on an earlier one ends with that.

        Raises: InvalidMessageError, where that cannot be.
        """
        if payload.grant is not None:
            return "session", self._earlier(payload.grant, question).until
        wish = self.wish_of(question)
        scope, until = payload.scope or "session", payload.until
        try:
            until = moment_until(until, self._store.clock()) if until is not None else None
        except ValueError as error:
            raise InvalidMessageError("credentials_provided", f"payload.until: {error}") from None
        lacks = {"plan": wish.plan_id is None, "run": wish.run_id is None, "project": until is None}.get(scope, False)
        if lacks:
            problem = {
                "plan": "the session does no plan; leave the scope out, or say session",
                "run": "the session belongs to no run; leave the scope out, or say session",
                "project": "what holds for every session needs an end; say until when",
            }[scope]
            raise InvalidMessageError("credentials_provided", f"payload.scope: {problem}")
        return scope, until

    def _earlier(self, grant_id: str, question: MessageRecord) -> GrantRecord:
        """Return the yes that an answer says it stands on; anybody may say so, and it may have been taken back.

        Raises: InvalidMessageError.
        """
        wish, now = self.wish_of(question), self._store.clock()
        with suppress(GrantNotFoundError):
            grant = self._store.grants.get(grant_id)
            if covers(grant, wish, now):
                return grant
        raise InvalidMessageError("credentials_provided", "payload.grant: no yes of that name holds for this question")

    def write_down(self, answer: CredentialsProvided, question: MessageRecord, *, actor: str, door: str) -> None:
        """Journal who allowed what to whom until when; an answer that stands on an earlier yes needs that to hold.

        Raises: InvalidMessageError, where the earlier yes was taken back meanwhile.
        """
        said, wish = answer.payload, self.wish_of(question)
        if said.grant is not None:
            self._earlier(said.grant, question)
            return
        self._store.grants.add(
            GrantRecord(
                id=answer.id, service=wish.service, context=wish.context, asked=wish.asked,
                env_vars=said.env_vars, source=said.source, scope=said.scope or "session",
                session_id=wish.session_id, plan_id=wish.plan_id, run_id=wish.run_id,
                granted_at=answer.timestamp, until=said.until, actor=actor, door=door,
            )
        )  # fmt: skip

    def revoke(self, grant_id: str, *, actor: str, door: str) -> GrantRecord:
        """Take a yes back: it answers nothing more, and no shim hands out the values of answers that stand on it.

        What a worker has taken already it has. What is masked stays masked.

        Raises: GrantNotFoundError; ShimSilentError where a shim is there and does not answer, which can be tried again.
        """
        grant = self._store.grants.revoke(grant_id, actor=actor, door=door)
        self._store.ring()
        silent = None
        for session_id, answer_id in [(grant.session_id, grant.id), *self._store.messages.standing_on(grant.id)]:
            try:
                ask_shim(self._store.layout.session(session_id), do="forget", id=answer_id)
            except ShimSilentError as error:
                silent = error
            except HarnessError:  # it has gone, and the values with it
                continue
        if silent is not None:
            raise silent
        return grant

    # --- handing over ------------------------------------------------------------------------

    def hand_over(self, session_id: str, grant_id: str, values: Mapping[str, str], until: datetime | None) -> None:
        """Give values to a session's shim, which holds them in memory under an id.

        Raises: ShimFailedError.
        """
        self.redact.add(values)
        if self.is_own_process(session_id):
            return
        order = {"id": grant_id, "values": dict(values), "masks": masks_of(values)}
        end = until.timestamp() if until is not None else None
        unmasked = ask_shim(self._store.layout.session(session_id), do="grant", until=end, **order).get("unmasked")
        if self.delivers_in_message:
            data = {"names": sorted(values), "reason": "deliver: message; an agent's own transcript keeps it"}
            self._store.events.add("values_in_message", session_id=session_id, data=data)
        if unmasked:
            self._store.events.add("mask_refused", session_id=session_id, data={"names": unmasked})

    def is_own_process(self, session_id: str) -> bool:
        """Say whether a session is a Python process that asked from a cell: it can look up what it may have."""
        return self._store.sessions.get(session_id).worker == "python"

    def without_values(self, session_id: str, texts: list[str]) -> list[str]:
        """Return texts without any value that a session has, or that passed through here.

        Raises: ShimFailedError, where the session's shim is there and does not answer.
        """
        folder = self._store.layout.session(session_id)
        texts = [self.redact(text) for text in texts]
        try:
            return mask_texts(folder, texts)
        except ShimFailedError:
            if is_listening(folder):
                raise
            return texts  # the shim has gone, and the values with it


def plain_values(credentials: Mapping[str, Any]) -> dict[str, str]:
    """Return credentials as plain texts, for the one who hands them over."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in credentials.items()
    }
