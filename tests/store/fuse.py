"""Lets a process die between two of its steps on the disk."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.store import answer_files

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator


class Died(BaseException):
    """The process is gone: nothing of ours handles this."""


@dataclass
class Fuse:
    """Lets the process die right after one step on the disk (so before the next), counted over the whole story."""

    at: int
    steps: int = 0
    armed: bool = False
    blown: bool = False

    def step(self, do: Callable[..., Any], *args: Any, **how: Any) -> Any:
        if not self.armed:
            return do(*args, **how)
        result = do(*args, **how)
        self.steps += 1
        if self.steps == self.at:
            self.armed, self.blown = False, True
            self.die()
        return result

    def die(self) -> None:
        raise Died

    def wrap(self, do: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **how: self.step(do, *args, **how)


class Connection:
    """The journal's connection, whose commits are steps too."""

    def __init__(self, real: sqlite3.Connection, fuse: Fuse) -> None:
        self._real = real
        self._fuse = fuse

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        if sql == "COMMIT":
            return self._fuse.step(self._real.execute, sql)  # type: ignore[no-any-return]
        return self._real.execute(sql, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@contextmanager
def fused(fuse: Fuse) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("link", "rename", "replace", "unlink"):
            patch.setattr(os, name, fuse.wrap(getattr(os, name)))
        patch.setattr(os, "fsync", lambda _: None)  # a process dies here, not the machine
        patch.setattr(answer_files, "_mark_given", fuse.wrap(answer_files._mark_given))
        yield
