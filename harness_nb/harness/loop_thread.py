"""One event loop on a thread of its own, for everything blocking that must not stall it.

The loop lives as long as the process. It ends itself when the main thread does: worker threads of the loop would
otherwise keep the interpreter waiting for ever. Should something else end it, the next that asks gets a new one.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import CancelledError, wait
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

LOOK_AGAIN = 0.5
"""Seconds until an interrupt is noticed that came just before the waiting began: the system wakes nobody for that."""

P = ParamSpec("P")
T = TypeVar("T")


class LoopThread:
    """A running event loop that other threads hand work to."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._portal: BlockingPortal | None = None
        self._thread = threading.Thread(target=self._run, name="harness_nb loop", daemon=True)
        self._thread.start()
        self._ready.wait()
        threading.Thread(target=self._end_with_main, name="harness_nb end", daemon=True).start()

    def _run(self) -> None:
        anyio.run(self._serve)

    async def _serve(self) -> None:
        async with BlockingPortal() as portal:
            self._portal = portal
            self._ready.set()
            await portal.sleep_until_stopped()

    def _end_with_main(self) -> None:
        threading.main_thread().join()
        with contextlib.suppress(RuntimeError):
            self.portal.start_task_soon(self.portal.stop, True)

    @property
    def alive(self) -> bool:
        """Whether work can be handed to it."""
        return self._thread.is_alive()

    @property
    def portal(self) -> BlockingPortal:
        """The way in from other threads."""
        assert self._portal is not None
        return self._portal

    def call(self, function: Callable[..., Awaitable[T]], *values: Any) -> T:
        """Run a coroutine on the loop and block for its result; an interrupt ends it, and goes on to the caller.

        Raises: RuntimeError on the loop's own thread, which would wait for itself for ever.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("This blocks, and runs on the loop that it waits for. Use AsyncHarness there.")
        future: Future[T] = self.portal.start_task_soon(function, *values)
        try:
            while not future.done():
                wait([future], LOOK_AGAIN)
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            with contextlib.suppress(CancelledError, Exception):
                future.result(timeout=5)
            raise


_lock = threading.Lock()
_thread: LoopThread | None = None


def loop_thread() -> LoopThread:
    """Return the process's loop thread, started at the first call, and anew where it has ended."""
    global _thread
    with _lock:
        if _thread is None or not _thread.alive:
            _thread = LoopThread()
        return _thread
