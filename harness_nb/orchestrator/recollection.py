"""Values that sessions were given, looked up once more by what the journal says of them: nothing else keeps them.

Whoever shows what a plan's checks print may be another process than the one that said yes, and the shim that knew the
values has ended with its worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import SecretStr

    from harness_nb.credentials import CredentialProvider
    from harness_nb.store import Store


def recollect(
    store: Store, session_ids: Iterable[str], providers: Iterable[CredentialProvider]
) -> dict[str, list[SecretStr]]:
    """Return what is found now of all that these sessions were given, each name's values of all providers.

    What somebody typed into an answer, or has changed since, is not among it.
    """
    sources = tuple(providers)
    found: dict[str, list[SecretStr]] = {}
    for session_id in session_ids:
        for service, names, context in _references(store, session_id):
            for provider in sources:
                for name, value in provider.lookup(service, names, context).credentials.items():
                    found.setdefault(name, []).append(value)
    return found


def _references(store: Store, session_id: str) -> Iterable[tuple[str, list[str] | None, str | None]]:
    for grant in store.grants.select():
        if grant.session_id == session_id:
            yield grant.service, list(grant.env_vars) or None, grant.context
    for answer in store.messages.select(session_id, direction="out"):
        if answer.type == "credentials_provided" and answer.payload.get("found"):
            question = store.messages.find(answer.in_response_to or "", session_id)
            asked = {**answer.payload, **(question.payload if question else {})}
            yield str(asked.get("service", "")), asked.get("envVars") or None, asked.get("context") or None
