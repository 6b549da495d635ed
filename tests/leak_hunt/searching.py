"""Looks for pieces of planted values in whatever a session may leave: files, archives, journals, traffic, processes.

It knows nothing of how values are masked. What it searches for is each form of the mark that all values hold: as it is
(no encoding of text changes letters and digits, so this is the value URL-encoded, in JSON and quoted for a shell, too),
in base64 at each of the three places that a byte can have in it, and in UTF-16. Text is also looked at without what
breaks it up for the eye: escape sequences, line ends, and those two as JSON writes them, once or twice over.
"""

from __future__ import annotations

import base64
import gzip
import io
import os
import re
import sqlite3
import zipfile
import zlib
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.leaks import content_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.leak_hunt.planting import Plant

BREAKS = re.compile(
    rb"(?:\x1b|\\+(?:u001[bB]|x1[bB]|033|e))(?:\[[0-9;?]*[@-~]|\][^\x07\x1b]{0,40}(?:\x07|\x1b\\))"
    rb"|[\r\n]|\\+[rn]"
)
"""What stands in the middle of a value that was coloured or wrapped."""
AROUND = 40
DEEPEST = 3
SQLITE = b"SQLite format 3\x00"


@dataclass(frozen=True)
class Hit:
    """A place where a piece of a value stands: where, in which form, and what is around it."""

    place: str
    form: str
    text: str

    def __str__(self) -> str:
        return f"{self.place} ({self.form}): {self.text}"


class Search:
    """Looks for one run's values."""

    def __init__(self, plant: Plant) -> None:
        self._forms = forms_of(plant.mark)

    def in_bytes(self, data: bytes, place: str, depth: int = 0) -> list[Hit]:
        """Return each place in some bytes, also inside of what is packed into them."""
        hits = list(self._plainly(data, place))
        whole = BREAKS.sub(b"", data)
        if len(whole) < len(data):
            known = len(hits)
            found = list(self._plainly(whole, f"{place}, its broken lines and colours taken out"))
            hits += found if len(found) > known else []
        if depth < DEEPEST:
            for name, member in _unpacked(data):
                hits += self.in_bytes(member, f"{place} › {name}", depth + 1)
        return hits

    def in_text(self, text: str, place: str) -> list[Hit]:
        """Return each place in a text."""
        return self.in_bytes(text.encode("utf-8", "surrogatepass"), place)

    def in_folder(self, folder: Path, *, but: Iterable[Path] = ()) -> list[Hit]:
        """Return each place in names and contents of files under a folder, links' targets included."""
        left_out = {os.fspath(path) for path in but}
        looked, hits = 0, []
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if f"{parent}/{name}" not in left_out]
            for name in [*folders, *names]:
                path = Path(parent, name)
                if os.fspath(path) in left_out:
                    continue
                where = os.fspath(path.relative_to(folder.parent))
                hits += self.in_bytes(os.fsencode(name), f"the name of {where}")
                if path.is_symlink():
                    hits += self.in_bytes(os.fsencode(path.readlink()), f"where the link {where} leads")
                elif path.is_file():
                    looked += 1
                    hits += self.in_file(path, where)
        assert looked, f"there is no file under {folder}"
        return hits

    def in_file(self, path: Path, where: str) -> list[Hit]:
        """Return each place in a file; of a journal in each of its rows, too."""
        with suppress(FileNotFoundError):  # writers replace files whole
            data = content_of(path)
            hits = self.in_bytes(data, where)
            if data.startswith(SQLITE):
                hits += self._in_rows(path, where)
            return hits
        return []

    def in_processes(self, but: Iterable[int] = ()) -> list[Hit]:
        """Return each place in the command lines of all processes, and the environments of all but some of them."""
        allowed, hits, looked = set(but), [], 0
        for process in psutil.process_iter():
            for name in ("cmdline", "environ"):
                if name == "environ" and process.pid in allowed:
                    continue
                with suppress(OSError):
                    data = Path(f"/proc/{process.pid}/{name}").read_bytes()
                    looked += bool(data)
                    hits += self.in_bytes(data, f"the {name} of {process.pid}")
        assert looked, "there are no processes to look at"
        return hits

    def _plainly(self, data: bytes, place: str) -> Iterator[Hit]:
        for form, needle in self._forms:
            at = data.find(needle)
            while at >= 0:
                around = data[max(0, at - AROUND) : at + len(needle) + AROUND]
                yield Hit(place, form, repr(around)[2:-1])
                at = data.find(needle, at + 1)

    def _in_rows(self, path: Path, where: str) -> list[Hit]:
        hits: list[Hit] = []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.text_factory = bytes
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                name = table.decode()
                for row in connection.execute(f'SELECT * FROM "{name}"'):
                    for field in row:
                        if isinstance(field, bytes):
                            hits += self.in_bytes(field, f"{where}, table {name}")
        return hits


def forms_of(mark: str) -> list[tuple[str, bytes]]:
    """Return what a mark looks like in each encoding, with the encoding's name."""
    raw = mark.encode()
    forms = [("as it is", raw), ("UTF-16", mark.encode("utf-16-le"))]
    for before in range(3):
        first = -(-before * 8 // 6)  # the letters that also hold bits of what stands before the mark
        last = (before + len(raw)) * 8 // 6  # those behind hold bits of what follows
        forms.append((f"base64, {before} bytes in", base64.b64encode(b"\0" * before + raw)[first:last]))
    return forms


def _unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what is packed into some bytes: the members of a ZIP archive, or the content of a gzip or zlib stream."""
    if data[:4] == b"PK\x03\x04":
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield "its names", "\n".join(archive.namelist()).encode()
            yield from ((member, archive.read(member)) for member in archive.namelist())
    elif data[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError, zlib.error):
            yield "its content", gzip.decompress(data)


def in_short(hits: list[Hit]) -> str:
    """Return one line for each place, with the first piece that was found there."""
    first = {hit.place: hit for hit in reversed(hits)}
    counts = Counter(hit.place for hit in hits)
    return "\n".join(f"{counts[place]} × {hit}" for place, hit in first.items())
