"""What is written down: the SQLite journal and the files under ``.orchestration/``.

The only room with SQL, and the only one that writes those files.
"""

from harness_nb.store.bell import Bell
from harness_nb.store.layout import Layout, SessionFolder
from harness_nb.store.store import JournalOnLocalDiskWarning, Store, require_project, require_workplace

__all__ = [
    "Bell",
    "JournalOnLocalDiskWarning",
    "Layout",
    "SessionFolder",
    "Store",
    "require_project",
    "require_workplace",
]
