"""A process that runs the project, as a notebook's kernel does; started once more, it goes on with what is unfinished.

Run as ``python -m tests.survival.kernel ROOT``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness_nb import Harness
from harness_nb.store import Store
from tests.survival.scene import COMMAND, LIMIT


def has_ended(root: Path) -> bool:
    store = Store(root)
    try:
        newest = store.runs.newest()
    finally:
        store.close()
    return newest is not None and newest.state != "running"


def main(root: Path) -> int:
    with Harness(root, trust=True) as harness:
        if not any(one.record.worker == "command" for one in harness.list_sessions()):
            harness.start_session(command=COMMAND)
        if not has_ended(root):
            print(harness.run().wait(timeout=LIMIT), flush=True)
        for session in harness.list_sessions():
            session.wait(timeout=LIMIT)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
