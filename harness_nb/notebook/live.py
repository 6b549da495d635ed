"""Keeping a view up to date, and doing what people do with it.

Everything here runs on the harness's loop thread, whatever cell is running: the kernel only hands orders over. Nobody
is asked again and again: changes wake the view, at most some ten times a second, and while no page shows it nothing
is sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from harness_nb import templates
from harness_nb.errors import AlreadyAnsweredError, HarnessError, ProjectNotFoundError
from harness_nb.notebook.cards import door_of, reply_of
from harness_nb.notebook.orders import order_of
from harness_nb.notebook.output import Tail
from harness_nb.notebook.pictures import name_of, require_project
from harness_nb.protocol.base import format_timestamp
from harness_nb.sessions.changes import Changes, any_of
from harness_nb.store.messages import summary_of
from harness_nb.store.troubles import sentence_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from harness_nb.notebook.orders import Order
    from harness_nb.notebook.pictures import Picture, Scene
    from harness_nb.notebook.widget import View

PAUSE = 0.08
"""Seconds between two messages at least."""
RATE = 250_000
"""Bytes a second that a view may send of what it shows; after more it pauses longer."""
CALM = 0.3
"""Seconds without output after a flood, until its end is shown whole."""
AGAIN = 1.0
"""Seconds until the next try after a view could not be made."""
AGAIN_AT_LATEST = 5.0
"""Seconds until that next try where nothing happens meanwhile."""
UNSEEN = 15.0
"""Seconds between two looks at most often where no page shows the view."""
FORGOTTEN = 300.0
"""Seconds after which a page that was not heard of is gone; pages say every half minute that they are there."""
SAVE_EVERY = 5.0
"""Seconds between two versions of what is saved with the notebook."""

Sent = dict[str, dict[str, str]]


class Live:
    """One view that is shown: its scene, its widget, and the pages that look at it."""

    def __init__(
        self,
        scene: Scene,
        *,
        save: Callable[[Picture], None] | None = None,
        reachable: bool = True,
    ) -> None:
        self._harness = scene.harness
        self._store = scene.harness.store
        self._scene = scene
        self._view: View | None = None
        self._save = save
        self._reachable = reachable
        self._pages: dict[str, float] = {}
        """When each page was heard of last."""
        self._turn = anyio.Lock()
        self._called = Changes()
        self._sent: Sent = {}
        self._selected: str | None = None
        self._chosen = False
        self._tail: Tail | None = None
        self._over: str | None = None
        """The session of which the pages know that it has ended."""

    def attach(self, view: View) -> None:
        """Give it the widget that it keeps up to date."""
        self._view = view

    async def serve(self) -> None:
        """Follow the scene until it has ended, or the harness is closed."""
        try:
            async with anyio.create_task_group() as tasks:
                if self._view is not None:
                    tasks.start_soon(self._insist, self._follow_output, False)
                await self._insist(self._follow_picture)
                tasks.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            self._say_gone(self._harness.closed_by())
            raise

    async def _insist(self, follow: Callable[[], Awaitable[None]], tell: bool = True) -> None:  # noqa: FBT001, FBT002
        """Follow, and where that fails ``tell`` it and try again at the next change; the work goes on anyway."""
        while True:
            host = self._harness.host
            changed = host.changes.next, host.output.next, self._called.next
            try:
                return await follow()
            except ProjectNotFoundError as error:
                return self._say_gone(error)
            except Exception as error:  # a view that fails takes nothing else with it
                if tell:
                    self._say_gone(error)
            await anyio.sleep(AGAIN)
            with anyio.move_on_after(AGAIN_AT_LATEST):  # a document that is corrected tells nobody
                await any_of(*changed)

    async def _follow_picture(self) -> None:
        saved = anyio.current_time()
        while True:
            changed = [one.next for one in (self._harness.host.changes, *self._scene.changes(), self._called)]
            async with self._turn:
                picture = await self._look()
                size = await self._send_lists(picture)
            late = anyio.current_time() - saved
            over = picture.ended and not self._scene.endless
            if self._save is not None and (over or late > SAVE_EVERY):
                saved = anyio.current_time()
                await anyio.to_thread.run_sync(self._save_now, self._save)
            if over:
                await self._send_output(final=True)
                return
            await self._pause(max(PAUSE, size / RATE))
            looked_at = self._seen or self._view is None
            limits = [SAVE_EVERY] if looked_at and self._save is not None and late < SAVE_EVERY else []
            limits += [picture.again] if looked_at and picture.again is not None else []
            with anyio.move_on_after(min(limits, default=None)):
                await any_of(*changed)

    async def _pause(self, seconds: float) -> None:
        """Let some time pass; a view that no page shows is looked at rarely, until one comes."""
        if self._seen or self._view is None:
            await anyio.sleep(seconds)
            return
        came = self._called.next
        with anyio.move_on_after(UNSEEN):
            await came.wait()

    @property
    def _seen(self) -> bool:
        """Whether a page shows this; one that was not heard of for long is gone, with or without a word."""
        now = anyio.current_time()
        self._pages = {page: heard for page, heard in self._pages.items() if now - heard < FORGOTTEN}
        return bool(self._pages)

    async def _look(self) -> Picture:
        def look() -> Picture:
            require_project(self._store)
            return self._scene.look(live=True, reachable=self._reachable)

        picture = await anyio.to_thread.run_sync(look)
        if not self._chosen and picture.output != self._selected:
            self._select(picture.output)
        return picture

    def _save_now(self, save: Callable[[Picture], None]) -> None:
        save(self._scene.look(live=False))

    def _say_gone(self, error: Exception) -> None:
        plain = isinstance(error, HarnessError | OSError)
        text = sentence_of(error) if plain else f"This cannot be shown: {error!r}"
        if self._view is not None:
            notice = templates.render("gone.html", text=text)
            self._sent |= {"head": {"gone": notice}, "cards": {}}
            self._view.send({"lists": {"head": [("gone", notice)], "cards": []}})

    # --- to the page -------------------------------------------------------------------------

    async def _send_lists(self, picture: Picture) -> int:
        """Send what differs from what the pages have, and return its size in bytes."""
        if self._view is None or not self._seen:
            return 0
        patch = {}
        for name, items in picture.lists.items():
            now, before = dict(items), self._sent.get(name, {})
            if list(now.items()) != list(before.items()):
                changed = {key: html for key, html in now.items() if before.get(key) != html}
                patch[name] = {"order": list(now), "changed": changed}
                self._sent[name] = now
        if not patch:
            return 0
        self._view.send({"patch": patch, "selected": self._selected})
        return len(json.dumps(patch))

    def _select(self, session_id: str | None) -> None:
        self._selected = session_id
        self._tail = Tail(self._store.layout.session(session_id).output) if session_id else None
        self._called.happened()

    async def _follow_output(self) -> None:
        while True:
            changed = self._harness.host.output.next, self._called.next, self._harness.host.changes.next
            size = await self._send_output()
            await anyio.sleep(max(PAUSE, size / RATE))
            with anyio.move_on_after(CALM if self._tail is not None and self._tail.behind else None):
                await any_of(*changed)

    async def _send_output(self, *, final: bool = False) -> int:
        tail, session = self._tail, self._selected
        if tail is None or session is None or self._view is None or not self._seen:
            return 0
        piece = await anyio.to_thread.run_sync(tail.whole if final else tail.look)
        if piece is None and self._over == session:
            return 0
        output = await self._with_title(session, piece or tail.nothing)
        if tail is not self._tail or (piece is None and output["live"]):
            return 0
        self._over = None if output["live"] else session
        self._view.send({"output": output})
        return len(json.dumps(output["lines"]))

    async def _with_title(self, session_id: str, piece: dict[str, Any]) -> dict[str, Any]:
        record = await anyio.to_thread.run_sync(self._store.sessions.get, session_id)
        return {**piece, "session": record.id, "title": name_of(record), "live": record.live}

    # --- from the page -----------------------------------------------------------------------

    async def obey(self, content: Any) -> None:
        """Do what somebody did in the page, and tell that page what became of it."""
        told: dict[str, Any] = {}
        try:
            told = await self._heard(order_of(content)) or {}
            text, ok = str(told.pop("text", "")), True
        except AlreadyAnsweredError as error:
            text, ok, told = str(error), True, {"overtaken": True}
        except Exception as error:  # the page is told, whatever it was
            text, ok = str(error), False
        who = content if isinstance(content, dict) else {}
        if self._view is not None and who.get("do") != "bye":
            self._view.send({"to": who.get("page"), "number": who.get("number"), "ok": ok, "text": text, **told})
        self._called.happened()

    async def _heard(self, order: Order) -> dict[str, Any] | None:
        """Do an order; a page that was forgotten meanwhile gets everything anew."""
        self._harness.changes  # noqa: B018 — an error when it is closed
        if order.page in self._pages:
            self._pages[order.page] = anyio.current_time()
        elif order.do == "here":
            return await self._greet(order.page)
        return await self._do(order)

    async def _do(self, order: Order) -> dict[str, Any] | None:
        match order.do:
            case "hello":
                return await self._greet(order.page)
            case "bye":
                self._pages.pop(order.page, None)
            case "select":
                return await self._choose(order)
            case "stay":
                self._chosen = True
            case "output":
                return await self._shown()
            case "answer":
                return await self._answer(order)
            case "input":
                await self._session(order.session or self._selected).send(order.text)
            case "interrupt":
                await self._session(order.session).interrupt()
            case "stop":
                await self._scene.stop()
        return None

    async def _greet(self, page: str) -> dict[str, Any]:
        async with self._turn:
            picture = await self._look()
            if self._seen:  # other pages get the difference to what they have
                await self._send_lists(picture)
            else:
                self._sent = {name: dict(items) for name, items in picture.lists.items()}
            self._pages[page] = anyio.current_time()
            shown = await self._shown()  # still in turn: what is sent meanwhile would be overwritten by older lists
        return {"lists": picture.lists, "now": format_timestamp(self._store.clock()), **shown}

    async def _choose(self, order: Order) -> dict[str, Any]:
        session = order.session or await anyio.to_thread.run_sync(self._scene.session_of, str(order.plan))
        if session is None:
            return {"text": f"{order.plan} has not begun."}
        await anyio.to_thread.run_sync(self._store.sessions.get, session)  # an error for what is no session
        self._chosen = True
        self._select(session)
        if self._view is not None:
            self._view.send(await self._shown())  # to every page: one session is chosen for all of them
        return {}

    async def _shown(self) -> dict[str, Any]:
        tail, session = self._tail, self._selected
        if tail is None or session is None:
            return {"selected": None}
        whole = await anyio.to_thread.run_sync(tail.whole)
        output = {**await self._with_title(session, whole), "reset": "asked"}
        if tail is not self._tail:  # somebody chose another meanwhile
            return await self._shown()
        return {"selected": session, "output": output}

    def _session(self, session_id: str | None) -> Any:
        from harness_nb.harness import AsyncSession

        return AsyncSession(self._harness, str(session_id), door=door_of(self._harness))

    async def _answer(self, order: Order) -> dict[str, Any]:
        reply = reply_of(str(order.verb), order.option, order.notes)
        harness = self._harness
        question = await anyio.to_thread.run_sync(self._store.messages.at, order.seq)
        answer = await harness.announced(
            lambda: reply.send(harness.desk, question, actor=harness.actor, door=door_of(harness))
        )  # fmt: skip
        return {"text": f"✓ {summary_of(answer)}"}
