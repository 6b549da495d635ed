"""A person at JupyterLab: opens notebooks, runs cells, clicks, looks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import httpx
import nbformat
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from playwright.sync_api import ConsoleMessage, Error, Locator, Page

    from tests.browser.server import JupyterServer

PATIENCE = 30.0
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
PANEL = "window.jupyterapp?.shell?.currentWidget"
STATUS = f"{PANEL}?.sessionContext?.session?.kernel?.status"
LISTEN_FOR_RESTART = f"""() => {{
  window.restarted = false;
  {PANEL}.sessionContext.statusChanged.connect((_, status) => {{
    if (['restarting', 'autorestarting', 'starting'].includes(status)) window.restarted = true;
  }});
}}"""
NO_SPLASH = "!document.querySelector('#jupyterlab-splash')"
GRAVE = ("serious", "critical")
BACKGROUND = re.compile(r"Failed to load resource|favicon|WebSocket connection|ERR_CONNECTION")
"""What JupyterLab itself reports when a kernel is restarted, or a page is left."""

Theme = Literal["light", "dark"]


class Lab:
    """One browser page with a JupyterLab in it."""

    def __init__(self, page: Page, server: JupyterServer, pictures: Path) -> None:
        self.page = page
        self.root = server.root
        self._server = server
        self._pictures = pictures
        self._faults: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", self._fail)
        page.set_default_timeout(PATIENCE * 1000)

    # --- opening

    def write(self, cells: Sequence[str], name: str = "test.ipynb") -> Path:
        """Write a notebook of code cells; a cell that starts with ``#%% md`` is prose."""
        nodes = [
            nbformat.v4.new_markdown_cell(cell.partition("\n")[2])
            if cell.startswith("#%% md")
            else nbformat.v4.new_code_cell(cell)
            for cell in cells
        ]
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=nodes, metadata=KERNEL), path)
        return path

    def open(self, name: str = "test.ipynb") -> None:
        """Load the page anew with this notebook, and wait until its kernel is idle."""
        self.page.goto(f"{self._server.url}lab/tree/{name}?reset&token={self._server.token}")
        self._wait(f"{PANEL}?.context?.path === {name!r} && {PANEL}.context.isReady")
        self._wait(NO_SPLASH)
        self.wait_until_idle()

    def open_cells(self, *cells: str, name: str = "test.ipynb") -> None:
        """Write a notebook of these cells and open it."""
        self.write(cells, name)
        self.open(name)

    def reload(self) -> None:
        """Reload the page, as after an accident with the tab; the kernel goes on."""
        self.page.reload()
        self._wait(f"{PANEL}?.context?.isReady")
        self._wait(NO_SPLASH)

    def save(self) -> None:
        """Save the notebook and wait until it is on the disk."""
        self.page.evaluate(f"async () => {{ await {PANEL}.context.save() }}")

    def close(self, *, shut_down: bool = False) -> None:
        """Close the notebook's tab, and its kernel where asked for."""
        self.page.evaluate(
            "async shutDown => { const panel = window.jupyterapp.shell.currentWidget;"
            " if (shutDown) await panel.sessionContext.shutdown(); panel.dispose(); }",
            shut_down,
        )

    def distrust(self, name: str = "test.ipynb") -> None:
        """Change a saved notebook as another person would, so that JupyterLab does not trust what it holds."""
        notebook = nbformat.read(self.root / name, as_version=4)
        notebook.cells[0].source += "\n# changed elsewhere"
        nbformat.write(notebook, self.root / name)

    def shut_down_kernels(self) -> None:
        """Shut down every kernel of the server."""
        for session in self._api("get", "sessions"):
            try:
                self._api("delete", f"sessions/{session['id']}")
            except httpx.HTTPStatusError as error:
                if error.response.status_code != httpx.codes.NOT_FOUND:  # it may have ended by itself since
                    raise

    # --- running

    def run(self, index: int, *, wait: bool = True) -> None:
        """Run one cell, and wait until the kernel is idle again unless told otherwise."""
        self.page.evaluate(
            "index => { const app = window.jupyterapp, content = app.shell.currentWidget.content;"
            " content.deselectAll(); content.activeCellIndex = index; app.commands.execute('notebook:run-cell'); }",
            index,
        )  # what the command returns is not awaited: it is there only when the cell has ended
        if wait:
            self.wait_until_ran(index)

    def run_all(self, *, wait: bool = True) -> None:
        """Run all cells, as from the menu."""
        self.command("notebook:run-all-cells")
        if wait:
            self.wait_until_ran(self.page.evaluate(f"{PANEL}.content.widgets.length") - 1)

    def interrupt(self) -> None:
        """Press the stop button of Jupyter."""
        self._toolbar("notebook:interrupt-kernel").click()

    def restart(self, *, accept: bool = True) -> None:
        """Press the restart button and accept or decline; wait for the new kernel where accepted."""
        self.page.evaluate(LISTEN_FOR_RESTART)  # before: the status may have passed when one looks afterwards
        self._toolbar("notebook:restart-kernel").click()
        self._answer(accept=accept)
        if accept:
            self._wait("window.restarted")
            self.wait_until_idle()

    def command(self, name: str, **arguments: Any) -> None:
        """Start a command of JupyterLab, for example ``notebook:run-all-below``; it is not waited for."""
        self.page.evaluate(
            "([name, arguments_]) => { window.jupyterapp.commands.execute(name, arguments_) }", [name, arguments]
        )

    def wait_until_idle(self) -> None:
        """Wait until the kernel is idle."""
        self._wait(f"{STATUS} === 'idle'")

    def wait_until_busy(self, index: int) -> None:
        """Wait until a cell runs; the kernel's own state says nothing, since clicks are handled meanwhile."""
        self._wait(f"{PANEL}.content.widgets[{index}].model.executionState === 'running'")

    def wait_until_ran(self, index: int) -> None:
        """Wait until a cell has its number, which it gets when it has ended, and the kernel is idle."""
        prompt = f"{PANEL}.content.widgets[{index}]"
        self._wait(f"!{prompt}.model.executionCount ? false : {prompt}.model.executionState !== 'running'")
        self.wait_until_idle()

    # --- looking

    def cell(self, index: int) -> Locator:
        """Return a cell on the page."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """Return what a cell put out, on the page."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def wait_for_text(self, index: int, text: str | re.Pattern[str]) -> None:
        """Wait until a cell's output contains a text."""
        expect(self.output(index)).to_contain_text(text, timeout=PATIENCE * 1000)

    def theme(self, theme: Theme) -> None:
        """Switch the theme, and wait until it is on."""
        name = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}[theme]
        self.command("apputils:change-theme", theme=name)
        self._wait(f"document.body.dataset.jpThemeName === {name!r}")
        self._wait(NO_SPLASH)
        self._wait(f"document.body.dataset.jpThemeLight === '{str(theme == 'light').lower()}'")

    def size(self, width: int, height: int = 900) -> None:
        """Give the window a size in pixels."""
        self.page.set_viewport_size({"width": width, "height": height})

    def hide_sidebar(self) -> None:
        """Leave the whole width to the notebook."""
        self.page.evaluate("window.jupyterapp.shell.collapseLeft(); window.jupyterapp.shell.collapseRight()")

    def picture(self, name: str, what: Locator | None = None) -> Path:
        """Save a screenshot of the page, or of a part of it, and return its path."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        path = self._pictures / f"{name}.png"
        (what or self.page).screenshot(path=path)
        return path

    def accessibility_faults(self, within: str = ".hnb") -> list[str]:
        """Return axe-core's serious and critical faults in elements of ours, each with where it is.

        Raises:
            AssertionError: there is no such element to look at.
        """
        assert self.page.locator(within).count(), f"there is no {within} on the page"
        found = Axe().run(self.page, context={"include": [[within]]})
        return [
            f"{fault['impact']} {fault['id']}: {fault['help']}: {node['html'][:300]} ({node['failureSummary']})"
            for fault in found.response["violations"]
            if fault["impact"] in GRAVE
            for node in fault["nodes"]
        ]

    def expect_no_faults(self) -> None:
        """Fail on what the page's console reported as an error, and on uncaught exceptions."""
        assert not self._faults, "\n".join(self._faults)

    # --- within

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not BACKGROUND.search(message.text):
            self._faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _fail(self, error: Error) -> None:
        self._faults.append(f"uncaught: {error.message}\n{error.stack}")

    def _api(self, method: str, path: str) -> Any:
        address, headers = f"{self._server.url}api/{path}", {"Authorization": f"token {self._server.token}"}
        answer = httpx.request(method, address, headers=headers, timeout=PATIENCE).raise_for_status()
        return answer.json() if answer.content else None

    def _wait(self, condition: str) -> None:
        self.page.wait_for_function(f"() => Boolean({condition})")

    def _toolbar(self, command: str) -> Locator:
        return self.page.locator(f".jp-NotebookPanel-toolbar jp-button[data-command='{command}']")

    def _answer(self, *, accept: bool) -> None:
        dialog = self.page.locator(".jp-Dialog")
        dialog.locator(".jp-mod-accept" if accept else ".jp-mod-reject").click()
        dialog.wait_for(state="detached")
