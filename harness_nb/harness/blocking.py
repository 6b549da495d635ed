"""The blocking twin of the harness, for notebooks and scripts: the same verbs, over one loop thread.

Every call hands its work to the loop and blocks for the result, so that answers, output and a run's progress go on
while a cell blocks. The same project opened again in one process is the same harness.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import anyio

from harness_nb.errors import ProjectNotFoundError, UnusableArgumentError
from harness_nb.harness.arguments import functions_of, policies_of
from harness_nb.harness.asynchronous import AsyncHarness
from harness_nb.harness.blocking_verbs import BlockingVerbs
from harness_nb.harness.display import Board, Displayed
from harness_nb.harness.loop_thread import loop_thread
from harness_nb.store import require_project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from harness_nb.credentials import CredentialProvider
    from harness_nb.orchestrator.functions import PolicyFunction
    from harness_nb.protocol.files import Policy

CLOSING: Final = 10.0
"""Seconds that a harness whose project was deleted is given to let go of it."""


class Harness(BlockingVerbs, Displayed):
    """One project, opened; the same project opened again in this process is the same harness.

    ``trust`` lets the commands run that the project's plans hold in this moment, from now on; what is changed or added
    afterwards, by whomever, waits for ``trust()`` or another ``Harness(…, trust=True)``. ``credentials`` is where
    values are looked up.

    ``policies`` answer what is asked here: by ``ask()``, by sessions that were started or are waited for here, and in
    runs. A run's own come before them, those of ``config.yaml`` after them; given again they replace the earlier ones,
    for what is asked from then on and not for a run that goes on. With somebody there, those without ``after`` leave
    a question to them; with nobody there (nbval, nbclient, papermill, ``HARNESS_UNATTENDED=1``), what no policy answers
    ends the waiting with an UnansweredQuestionError. ``judges`` is whether tries at plans that belong to no run are
    judged here once they end.

    Raises: ProjectNotFoundError, NotAFolderError, UnwritableFolderError, JournalDamagedError, UnusableArgumentError.
    """

    _opened: ClassVar[dict[Path, Harness]] = {}
    _opening: ClassVar[threading.Lock] = threading.Lock()

    def __new__(
        cls,
        project: str | Path = ".",
        *,
        trust: bool = False,
        credentials: CredentialProvider | None = None,
        door: str = "python",
        policies: Sequence[Policy | PolicyFunction] | None = None,
        judges: bool = True,
    ) -> Self:
        """Return the harness of this project, opened once per process."""
        root = Path(project).expanduser().resolve()
        given: tuple[Policy | PolicyFunction, ...] | None = None
        if policies is not None:
            given = (*policies_of(policies), *functions_of(policies))
        with cls._opening:
            found = cls._opened.get(root)
            if found is not None and not found._served.done() and found._is_outlived():
                found = None
            if found is None or found._served.done():
                found = super().__new__(cls)
                found._start(root, credentials, door, judges=judges)
            elif not isinstance(found, cls):
                problem = f"it is open already, as a {type(found).__name__} and not as a {cls.__name__}"
                raise UnusableArgumentError("project", problem, "Close that one first, with its close()")
            cls._opened.pop(root, None)
            cls._opened[root] = found
        if credentials is not None:
            found._twin.desk.broker.use(credentials)
        if given is not None:
            found._twin.answering.use(given)
        if trust:
            found.trust()
        return found

    def _start(self, root: Path, credentials: CredentialProvider | None, door: str, *, judges: bool) -> None:
        self.root = root
        ready = threading.Event()
        self._twin = AsyncHarness(root, credentials=credentials, door=door, judges=judges)
        self._closing: anyio.Event | None = None

        async def serve() -> None:
            self._closing = anyio.Event()
            async with self._twin:
                ready.set()
                await self._closing.wait()

        self._served = loop_thread().portal.start_task_soon(serve)
        self._served.add_done_callback(lambda _: ready.set())
        ready.wait()
        if self._served.done():
            self._served.result()

    def _is_outlived(self) -> bool:
        """Say whether what was opened here was deleted meanwhile, and let go of it then."""
        try:
            require_project(self._twin.store)
        except ProjectNotFoundError:
            with suppress(Exception):  # whatever its end is like, there is nothing more to lose
                self._end(CLOSING)
            return True
        return False

    @classmethod
    def opened_last(cls) -> Harness | None:
        """Return the harness that this process opened last and that is still open, or None."""
        with cls._opening:
            return next((one for one in reversed(cls._opened.values()) if not one._served.done()), None)

    def close(self) -> None:
        """Let go of the project; its sessions go on, and a run goes on when it is started again."""
        with self._opening:
            if self._opened.get(self.root) is self:
                del self._opened[self.root]
        self._end()

    def _end(self, patience: float | None = None) -> None:
        if self._closing is not None and not self._served.done():
            loop_thread().portal.call(self._closing.set)
            self._served.result(patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def board(self) -> Board:
        """The control room: shown, it stays up to date whatever runs come and go."""
        return Board(self._twin)

    def __repr__(self) -> str:
        return f"Harness({str(self.root)!r})"
