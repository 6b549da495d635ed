"""Showing a handle in a cell: what is saved for readers without a kernel, and over it the living view.

Two outputs stand in the cell. The first is HTML and plain text of the last state, rewritten now and then and at the
end, so that a notebook saved at any moment says what was true then. The second is the widget; while it lives, it
hides the first, and without a kernel the first hides what Jupyter says in place of a widget that is gone.
"""

from __future__ import annotations

import secrets
from contextvars import Context
from typing import TYPE_CHECKING, Any

from harness_nb import templates
from harness_nb.errors import HarnessError
from harness_nb.harness.attendance import attended
from harness_nb.harness.blocking_handles import Question, Run, Session
from harness_nb.harness.loop_thread import loop_thread
from harness_nb.notebook.board import BoardScene, ControlRoom
from harness_nb.notebook.kernel import clicks_reach_a_busy_kernel, has_widgets
from harness_nb.notebook.live import Live
from harness_nb.notebook.pictures import QuestionScene, SessionScene, require_project, saved_html
from harness_nb.store.troubles import sentence_of

if TYPE_CHECKING:
    from harness_nb.notebook.pictures import Picture, Scene
    from harness_nb.notebook.widget import View

WIDGET = "application/vnd.jupyter.widget-view+json"


def show(handle: Any) -> None:
    """Show a session, a question, a run or a project in the cell that runs; living unless it has ended."""
    try:
        scene = scene_of(handle)
        require_project(scene.harness.store)
        picture = scene.look(live=False)
    except (HarnessError, OSError) as error:
        text = sentence_of(error)
        _display({"text/html": templates.render("gone.html", text=text), "text/plain": text})
        return
    going_on = has_widgets() and (not picture.ended or (scene.endless and attended() is not False))
    of = secrets.token_hex(4) if going_on and attended() is not False else None
    saved = Saved(scene, of, again=going_on)
    saved.show(picture)
    if not going_on:
        return
    reachable = clicks_reach_a_busy_kernel()
    live = Live(scene, save=saved.update, reachable=reachable)
    if of is not None:
        view = _view(scene, of, live, reachable=reachable)
        live.attach(view)
        _display({WIDGET: {"version_major": 2, "version_minor": 0, "model_id": view.model_id}})
    # In a context of its own: what is said later belongs to the cell that runs then, not to this one.
    Context().run(loop_thread().portal.start_task_soon, scene.harness.keep, live.serve)


def show_page(handle: Any) -> None:
    """Show a handle living and without what is saved with a notebook: for a page that is nothing else.

    Raises: ProjectNotFoundError.
    """
    scene = scene_of(handle)
    require_project(scene.harness.store)
    live = Live(scene)
    view = _view(scene, secrets.token_hex(4), live, reachable=True)
    live.attach(view)
    _display({WIDGET: {"version_major": 2, "version_minor": 0, "model_id": view.model_id}})
    Context().run(loop_thread().portal.start_task_soon, scene.harness.keep, live.serve)


def html_of(handle: Any) -> str:
    """Return a handle's last state as HTML."""
    scene = scene_of(handle)
    return saved_html(scene, scene.look(live=False), of=None)


def text_of(handle: Any) -> str:
    """Return a handle's last state as plain text."""
    return scene_of(handle).look(live=False).text


def scene_of(handle: Any) -> Scene:
    """Return what there is to look at of a handle."""
    twin = handle._twin
    if isinstance(handle, Session):
        return SessionScene(twin)
    if isinstance(handle, Question):
        return QuestionScene(twin)
    if isinstance(handle, Run):
        return BoardScene(twin.harness, twin)
    return ControlRoom(twin)


class Saved:
    """The output of a cell that readers without a kernel see."""

    def __init__(self, scene: Scene, of: str | None, *, again: bool) -> None:
        self._scene = scene
        self._of = of
        self._id = secrets.token_hex(8) if again else None

    def show(self, picture: Picture) -> None:
        """Put it into the cell that runs."""
        _display(self._bundle(picture), display_id=self._id)

    def update(self, picture: Picture) -> None:
        """Rewrite it where it is."""
        _display(self._bundle(picture), display_id=self._id, update=True)

    def _bundle(self, picture: Picture) -> dict[str, str]:
        html = saved_html(self._scene, picture, of=self._of)
        return {"text/html": html, "text/plain": picture.text}


def _view(scene: Scene, of: str, live: Live, *, reachable: bool) -> View:
    from harness_nb.notebook.widget import View

    portal = loop_thread().portal

    def take(order: dict[str, Any]) -> None:
        portal.start_task_soon(live.obey, order)

    picture = scene.look(live=True, reachable=reachable)
    return View(scene.frame.html(of), picture.lists, on_order=take)


def _display(bundle: dict[str, Any], *, display_id: str | None = None, update: bool = False) -> None:
    from IPython.display import display

    more = {"display_id": display_id} if display_id else {}
    display(bundle, raw=True, update=update, **more)  # type: ignore[no-untyped-call]
