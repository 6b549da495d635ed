"""The process that does a detached run: ``python -m harness_nb.holder PROJECT RUN``.

It leaves whoever started it before it has loaded anything, takes the project's lease, and does the run to its end.
Where somebody else has the lease it goes without a word: that one does the run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> int:
    """Leave the caller, and do the run that the arguments name; the caller's exit status is that of the leaving."""
    root, run_id = sys.argv[1:]
    if os.fork():
        os._exit(0)
    import anyio

    from harness_nb.harness.leading import hold

    anyio.run(hold, Path(root), run_id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
