"""One of those who race: answers each question that it is told of at the moment that it is told, with its own option.

Run as ``python -m tests.survival.racer ROOT DOOR OPTION``. It reads lines with a question's id, its number in the
journal and a moment, and says for each what it was told: ``won``, the sentence for those who were too late, or nothing
at a door that says nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from anyio.from_thread import start_blocking_portal

from harness_nb.errors import AlreadyAnsweredError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.from_thread import BlockingPortal

    from harness_nb import AsyncHarness
    from harness_nb.sessions.host import SessionHost
    from harness_nb.store import Store

    Answer = Callable[[str, int], object]

SESSION = "s1"


class Shown:
    """All that an answer from a page needs of what is shown there."""

    def __init__(self, harness: AsyncHarness) -> None:
        self.harness = harness


def api(root: Path, option: str, portal: BlockingPortal, stack: ExitStack) -> Answer:
    from harness_nb import AsyncHarness  # here and below: twenty of these start at once, each for one door

    harness = stack.enter_context(portal.wrap_async_context_manager(AsyncHarness(root)))
    payload = {"selectedOptionId": option, "selectedOptionName": option, "decision": "Which?"}
    return lambda question, _: portal.call(harness.respond, "decision_made", SESSION, payload, question)


def shell(root: Path, option: str, portal: BlockingPortal, stack: ExitStack) -> Answer:
    from harness_nb.cli.respond import answer_question
    from harness_nb.views.questions import Reply

    return lambda question, _: answer_question(root, question, Reply("option", option), session=SESSION)


def page(root: Path, option: str, portal: BlockingPortal, stack: ExitStack) -> Answer:
    from harness_nb import AsyncHarness
    from harness_nb.notebook.live import Live
    from harness_nb.notebook.orders import order_of

    harness = stack.enter_context(portal.wrap_async_context_manager(AsyncHarness(root, judges=False)))
    live = Live(cast("Any", Shown(harness)))
    order = {"do": "answer", "verb": "option", "option": option}
    return lambda _, seq: portal.call(live._answer, order_of({**order, "seq": seq}))


def mcp(root: Path, option: str, portal: BlockingPortal, stack: ExitStack) -> Answer:
    from mcp.client import Client
    from mcp.client.stdio import StdioServerParameters

    words = ["-m", "harness_nb.cli", "mcp", "--project", os.fspath(root)]
    server = StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))
    client = stack.enter_context(portal.wrap_async_context_manager(Client(server)))
    payload = {"selectedOptionId": option, "selectedOptionName": option, "decision": "Which?"}

    def answer(question: str, _: int) -> str | None:
        given = {"type": "decision_made", "sessionId": SESSION, "inResponseTo": question, "payload": payload}
        result = portal.call(client.call_tool, "harness_respond", given)
        return str(getattr(result.content[0], "text", "")) if result.is_error else None

    return answer


def policy(root: Path, option: str, portal: BlockingPortal, stack: ExitStack) -> Answer:
    from harness_nb import Policy
    from harness_nb.orchestrator import Desk
    from harness_nb.orchestrator.answering import PolicyAnswers
    from harness_nb.orchestrator.policies import Rules
    from harness_nb.store import Store

    store = Store(root)
    stack.callback(store.close)
    rules = Rules((Policy(kind="decision", do="answer", answer=option),))
    host = portal.call(_host_of, store)
    answers = PolicyAnswers(host, Desk(store), lambda: rules)

    def answer(_: str, __: int) -> str:
        answers.apply()
        return ""

    return answer


async def _host_of(store: Store) -> SessionHost:
    from harness_nb.sessions.host import SessionHost

    return SessionHost(store)


def hand(root: Path, option: str, portal: BlockingPortal, stack: ExitStack) -> Answer:
    from harness_nb.store import Store

    store = Store(root)
    stack.callback(store.close)
    target = store.layout.session(SESSION).response
    draft = target.with_name(f".draft-{option}")

    def answer(question: str, _: int) -> str:
        draft.write_text(json.dumps({"inResponseTo": question, "selectedOptionId": option}))
        try:
            os.link(draft, target)
        except FileExistsError:
            return ""
        finally:
            draft.unlink()
        return ""

    return answer


DOORS = {"api": api, "hand": hand, "mcp": mcp, "page": page, "policy": policy, "shell": shell}


def told(answer: Answer, question: str, seq: int) -> str:
    try:
        said = answer(question, seq)
    except AlreadyAnsweredError as error:
        return str(error)
    return said if isinstance(said, str) else "won"


def main(root: Path, door: str, option: str) -> None:
    sink = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the shell's door prints
    with start_blocking_portal() as portal, ExitStack() as stack:
        answer = DOORS[door](root, option, portal, stack)
        print(json.dumps("ready"), file=sink)
        for line in sys.stdin:
            question, seq, moment = json.loads(line)
            time.sleep(max(0.0, moment - time.time()))
            print(json.dumps(told(answer, question, seq)), file=sink)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
