"""The page inside JupyterHub, Binder or any Jupyter server: reached through it, and only by those whom it let in."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import expect

from harness_nb.store import Store
from tests.browser.asking import answers, card, choose, settled
from tests.browser.server import JupyterServer, start_jupyter, stop_jupyter
from tests.browser.watching import Watcher, start_asking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.row(14)
CACHE = "Which cache should the API use?"
NAME = "harness-nb/"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A Jupyter server as a Hub starts one: below a path of its user's, with a token."""
    options = ["--ServerApp.base_url=/user/somebody/"]
    server = start_jupyter(tmp_path_factory.mktemp("hub"), token="let-me-in", options=options)
    yield server
    stop_jupyter(server)


def test_the_board_is_below_the_servers_address_and_answers_through_it(
    hub: JupyterServer, context: BrowserContext
) -> None:
    assert hub.url.endswith("/user/somebody/")
    watcher = Watcher(context, f"{hub.url}{NAME}?token={hub.token}")
    expect(watcher.page).to_have_url(f"{hub.url}{NAME}")
    expect(watcher.board.locator(".hnb-head")).to_contain_text(hub.root.name)
    start_asking(hub.root, CACHE)
    choose(watcher.board, CACHE, "Redis")
    expect(settled(watcher.board, CACHE)).to_contain_text("through the page")
    expect(watcher.log).to_contain_text("heard: redis")
    expect(card(watcher.board, CACHE)).to_have_count(0)
    assert [door for door, _ in answers(hub.root).values()] == ["page"]
    assert all(one.startswith((hub.url, hub.url.replace("http", "ws"), "data:", "blob:")) for one in watcher.requests)
    # it is journalled when its processes have gone, some time after its last line
    expect(watcher.board.locator(".hnb-log-note")).to_contain_text("ended")
    assert watcher.faults == []
    watcher.page.close()
    with closing(Store(hub.root)) as store:
        assert not list(store.sessions.select(live=True))


def test_nobody_gets_in_whom_the_jupyter_server_does_not_know(hub: JupyterServer) -> None:
    assert httpx.get(f"{hub.url}{NAME}", follow_redirects=False, timeout=60).status_code in (302, 403)
    wrong = {"Authorization": "token guessed"}
    assert httpx.get(f"{hub.url}{NAME}", headers=wrong, follow_redirects=False, timeout=60).status_code in (302, 403)


def test_another_sites_page_cannot_speak_through_the_proxy(hub: JupyterServer) -> None:
    headers = {"Authorization": f"token {hub.token}", "Origin": "http://evil.example"}
    answer = httpx.get(f"{hub.url}{NAME}", headers=headers, timeout=60)
    assert answer.status_code == 403
    assert "another site" in answer.text


def test_the_launcher_offers_it(hub: JupyterServer, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{hub.url}lab?reset&token={hub.token}")
    tile = page.locator(".jp-LauncherCard", has_text="harness-nb board")
    expect(tile).to_be_visible()
    icon = f"{hub.url}server-proxy/icon/harness-nb"
    assert httpx.get(icon, headers={"Authorization": f"token {hub.token}"}, timeout=60).text.startswith("<svg")
    with context.expect_page() as opened:
        tile.click()
    expect(opened.value.locator(".hnb-head").first).to_contain_text(hub.root.name)
    opened.value.close()
    page.close()
