"""What a person at a page waits for: a worker's line on the screen, a click at the worker, and a page that answers.

A real JupyterLab in headless Chromium; the yardstick is a bare ``ipywidgets.Output`` that a thread feeds from the pipe
of the same worker, in the same browser, or a bare ``ipywidgets.Button``. Page, kernel and workers are on one machine,
so that their clocks are one, and what is compared are moments that each of them noted by itself.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from playwright.sync_api import expect, sync_playwright

from harness_nb.store import Layout
from tests.benchmarks.figures import Figure, median, milliseconds, quantile
from tests.browser.chromium import bring_chromium
from tests.browser.conftest import FLAGS
from tests.browser.lab import PATIENCE, Lab
from tests.browser.server import JupyterServer, start_jupyter, stop_jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import BrowserContext

PAGE = Path(__file__).with_name("browser_page.js").read_text()
MB = 1_000_000
CALM = 3.0
"""Seconds after which what a page has just loaded has come to rest."""

OPEN = """\
import os, subprocess, sys, threading, time
import ipywidgets
from harness_nb import Harness, Plan, RunBlock, Task

h = Harness({project!r}, trust=True)

def bare(command):
    shown = ipywidgets.Output()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def read():
        while data := os.read(process.stdout.fileno(), 65536):
            shown.append_stdout(data.decode("utf-8", "replace"))
        process.wait()

    threading.Thread(target=read, daemon=True).start()
    return shown
"""

LINES = """\
import random, sys, time
for number in range(int(sys.argv[1])):
    time.sleep(random.uniform(0.2, 0.4))
    print(f"line {number} @{time.time_ns()}@", flush=True)
"""

FLOOD = """\
import os, sys, time
lines = [f"{n:9} \\x1b[3{n % 8}mcompiling\\x1b[0m part {n % 977} of it ".ljust(99, ".") + "\\n" for n in range(9000)]
chunks = ["".join(lines[n : n + 1000]).encode() for n in range(0, 9000, 1000)]
due = time.monotonic()
until = due + float(sys.argv[1])
while due < until:
    data = chunks[int(due * 100) % 9]
    while data:
        data = data[os.write(1, data):]
    due += 0.01
    time.sleep(max(0, due - time.monotonic()))
"""
"""100 KB every 10 ms, which are made ahead so that the worker itself takes little of the machine."""

ASKING = """\
import random, sys, time
from harness_nb.sessions.worker_side import WorkerSide
with WorkerSide() as side, open({answers!r}, "a") as file:
    for number in range({count}):
        asked = side.report("action_needed", {{
            "phase": "1", "plan": "01-01", "action": f"Number {{number}}", "instructions": "", "reason": "",
        }})
        side.wait(asked.id)
        print(time.time_ns(), file=file, flush=True)
        time.sleep(random.uniform(0.1, 0.3))
"""

BUTTON = """\
button = ipywidgets.Button(description="Press")
file = open({answers!r}, "a")
button.on_click(lambda _: print(time.time_ns(), file=file, flush=True))
button
"""


def in_a_browser(*, quick: bool) -> list[Figure]:
    """Measure all of it; blocking, and never on a thread where an event loop runs."""
    with _a_browser() as (context, server):
        figures = [_lines(context, server, 10 if quick else 50), _clicks(context, server, 4 if quick else 12)]
        return [*figures, *_floods(context, server, 3.0 if quick else 10.0)]


@contextmanager
def _a_browser() -> Iterator[tuple[BrowserContext, JupyterServer]]:
    with tempfile.TemporaryDirectory(prefix="harness-nb-benchmark-") as folder, sync_playwright() as playwright:
        path = bring_chromium(playwright.chromium.executable_path)
        expect.set_options(timeout=PATIENCE * 1000)
        server = start_jupyter(Path(folder).resolve(), token="benchmark")
        try:
            browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            context.add_init_script(PAGE)
            yield context, server
            browser.close()
        finally:
            stop_jupyter(server)


@contextmanager
def _a_notebook(context: BrowserContext, server: JupyterServer, name: str, *cells: str) -> Iterator[Lab]:
    """Open a notebook on a project of its own, with the harness opened and a bare yardstick defined in cell 0."""
    folder = server.root / name
    folder.mkdir()
    page = context.new_page()
    lab = Lab(page, server, folder)
    try:
        lab.open_cells(OPEN.format(project=str(folder)), *cells, name=f"{name}.ipynb")
        lab.run(0)
        page.wait_for_timeout(CALM * 1000)
        yield lab
    finally:
        page.close()
        lab.shut_down_kernels()


def _command(script: str, *values: object) -> str:
    return repr([sys.executable, "-c", script, *map(str, values)])


def _notes(lab: Lab, name: str) -> Any:
    return lab.page.evaluate("name => benchmark.notes[name]", name)


def _p50_p95(seconds: Sequence[float]) -> str:
    return f"p50 {milliseconds(median(seconds))}, p95 {milliseconds(quantile(seconds, 0.95))}"


# --- a line to the screen, a click to the worker


def _lines(context: BrowserContext, server: JupyterServer, count: int) -> Figure:
    command = _command(LINES, count)
    # a notebook each: JupyterLab puts off to render what is out of sight
    with _a_notebook(context, server, "lines", f"s = h.start_session(command={command}); s") as lab:
        ours = _delays(lab, count)
        lab.expect_no_faults()
    with _a_notebook(context, server, "bare-lines", f"bare({command})") as lab:
        bare = _delays(lab, count)
    return Figure(
        f"a worker's line on the screen ({count} times)",
        _p50_p95(ours),
        f"{_p50_p95(bare)} bare Output",
        "p50 ≤ 150 ms",
        median(ours) <= 0.150,
    )


def _delays(lab: Lab, count: int) -> list[float]:
    """Run cell 1, whose worker prints, and return how long each line took until it was painted, in seconds."""
    lab.output(1).evaluate("element => benchmark.watch(element)")
    lab.run(1)
    painted = "() => Object.values(benchmark.notes.lines).filter(Boolean).length"
    lab.page.wait_for_function(f"count => ({painted})() >= count", arg=count, timeout=(count + 30) * 1000)
    return [seen / 1e3 - int(printed) / 1e9 for printed, seen in _notes(lab, "lines").items()]


def _clicks(context: BrowserContext, server: JupyterServer, count: int) -> Figure:
    """Let a worker ask, in a run that a cell waits for and in a session beside an idle kernel; and a bare button."""
    names = [server.root / "clicks" / f"{name}.txt" for name in ("busy", "idle", "bare")]
    busy, idle = (ASKING.format(answers=str(name), count=count) for name in names[:2])
    task = f"Task(name='ask', runs=[RunBlock(lang='python', code={busy!r})])"
    passed = {"id": "answered", "type": "file_exists", "path": names[0].name}
    cells = (
        f"run = h.run(plans=[Plan(id='01-01', tasks=[{task}], must_pass=[{passed!r}])]); display(run); run.wait()",
        f"s = h.start_session(command={_command(idle)}); s",
        BUTTON.format(answers=str(names[2])),
    )
    with _a_notebook(context, server, "clicks", *cells) as lab:
        took = [_ask_and_click(lab, cell, count, names[cell - 1]) for cell in (1, 2)]
        lab.run(3)
        bare = [_click(lab, lab.output(3).get_by_role("button", name="Press"), n, names[2]) for n in range(count)]
        lab.expect_no_faults()
    ours = [*took[0], *took[1]]
    return Figure(
        f"a click at the waiting worker ({count} while a cell blocks in run.wait(), {count} while idle)",
        f"{_p50_p95(ours)}; p50 {milliseconds(median(took[0]))} blocked, {milliseconds(median(took[1]))} idle",
        f"{_p50_p95(bare)} bare Button, idle",
        "p50 ≤ 100 ms, each",
        max(median(one) for one in took) <= 0.100,
    )


def _ask_and_click(lab: Lab, cell: int, count: int, answers: Path) -> list[float]:
    lab.run(cell, wait=False)
    took = []
    for number in range(count):
        card = lab.output(cell).locator(".hnb-card").filter(has_text=f"Number {number}")
        took.append(_click(lab, card.get_by_role("button", name="Done"), number, answers))
    lab.wait_until_ran(cell)
    return took


def _click(lab: Lab, button: Any, number: int, answers: Path) -> float:
    """Click, and return the seconds from the page's event to the moment that is written in a file's next line."""
    lab.page.evaluate("() => { benchmark.notes.clicks = [] }")
    button.click()
    deadline = time.monotonic() + PATIENCE
    while not answers.exists() or answers.read_text().count("\n") <= number:
        assert time.monotonic() < deadline, "the click never arrived"
        lab.page.wait_for_timeout(20)
    [clicked] = _notes(lab, "clicks")
    return int(answers.read_text().split()[number]) / 1e9 - float(clicked) / 1e3


# --- a flood


@dataclass(frozen=True)
class Flood:
    """What a page and its kernel went through while a worker printed; bytes, seconds, shares of a core."""

    longest: float
    gap: float
    mean: float
    worst: float
    cpu: float
    kernel: float
    page: float

    @property
    def block(self) -> str:
        """The longest block as people read it; a browser tells of none below 50 ms."""
        return milliseconds(self.longest) if self.longest else "none of 50 ms"

    @property
    def costs(self) -> str:
        """The kernel and the page in one line."""
        return f"{self.cpu:.0%} of a core, {self.kernel / MB:+.0f} MB; page {self.page / MB:+.1f} MB"


def _floods(context: BrowserContext, server: JupyterServer, seconds: float) -> list[Figure]:
    first, command = ("echo", "ready"), _command(FLOOD, seconds)
    shown = [f"s = h.start_session(command={one}); s" for one in (first, command)]
    with _a_notebook(context, server, "flood", *shown, "s.wait()") as lab:
        ours = _flood(lab, server, seconds)
        lab.run(3)
        layout = Layout(server.root / "flood")
        rate = sum(layout.session(one.name).output.stat().st_size for one in layout.sessions.iterdir()) / seconds / MB
        lab.expect_no_faults()
    with _a_notebook(context, server, "bare-flood", f"bare({first})", f"bare({command})") as lab:
        bare = _flood(lab, server, seconds)
    what = f"while a session prints {rate:.1f} MB/s for {seconds:g} s"
    return [
        Figure(
            f"the page's longest block {what}",
            f"{ours.block}, longest gap between frames {milliseconds(ours.gap)}",
            f"{bare.block}, {milliseconds(bare.gap)} bare Output",
            "≤ 100 ms",
            ours.longest <= 0.100,
        ),
        Figure(
            f"kernel to browser {what}",
            f"{ours.mean / MB:.2f} MB/s, worst second {ours.worst / MB:.2f} MB",
            f"{bare.mean / MB:.2f} MB/s, {bare.worst / MB:.2f} MB bare Output",
            "≤ 1 MB/s",
            ours.worst <= MB,
        ),
        Figure(f"the kernel {what}", ours.costs, f"{bare.costs} bare Output", "none set", met=True),
    ]


def _flood(lab: Lab, server: JupyterServer, seconds: float) -> Flood:
    """Run cell 2, whose worker floods, and look at that time and the second after it.

    Cell 1 shows something before, since the page's first widget loads what all of them need.
    """
    lab.run(1)
    lab.wait_for_text(1, "ready")
    lab.page.wait_for_timeout(CALM * 1000)
    kernel = _kernel_of(server)
    client = lab.page.context.new_cdp_session(lab.page)
    client.send("Performance.enable")
    heap, memory, cpu = _heap(client), kernel.memory_info().rss, sum(kernel.cpu_times()[:2])
    lab.page.evaluate("() => { for (const name of ['frames', 'blocks', 'gaps']) benchmark.notes[name] = [] }")
    began = time.time()
    lab.run(2, wait=False)
    lab.page.wait_for_timeout((seconds + 1) * 1000)
    cpu = (sum(kernel.cpu_times()[:2]) - cpu) / (time.time() - began)
    frames = [(at / 1e3 - began, size) for at, size in _notes(lab, "frames")]
    blocks, gaps = _notes(lab, "blocks"), _notes(lab, "gaps")
    return Flood(
        longest=max((length for _, length in blocks), default=0.0) / 1e3,
        gap=max((length for _, length in gaps), default=0.0) / 1e3,
        mean=sum(size for _, size in frames) / seconds,
        worst=_worst_second(frames),
        cpu=cpu,
        kernel=kernel.memory_info().rss - memory,
        page=_heap(client) - heap,
    )


def _worst_second(frames: Sequence[tuple[float, int]]) -> int:
    """Return the most bytes that came within any second."""
    most = first = size = 0
    for at, more in frames:
        size += more
        while frames[first][0] < at - 1:
            size -= frames[first][1]
            first += 1
        most = max(most, size)
    return most


def _heap(client: Any) -> float:
    client.send("HeapProfiler.collectGarbage")
    found = {one["name"]: one["value"] for one in client.send("Performance.getMetrics")["metrics"]}
    return float(found["JSHeapUsedSize"])


def _kernel_of(server: JupyterServer) -> psutil.Process:
    """Return the one kernel that runs now."""
    [kernel] = [
        one
        for one in psutil.Process(server.process.pid).children()
        if any("ipykernel" in part for part in one.cmdline())
    ]
    return kernel
