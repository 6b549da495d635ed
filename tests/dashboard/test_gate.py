"""Nobody but the page itself speaks to the server: not another site's page, and not by another name."""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.dashboard.serving import Response, Server

pytestmark = pytest.mark.row(14)

PRESENT = "/harness/present/01234567-0123-0123-0123-0123456789ab"
CHANNELS = "/api/kernels/01234567-0123-0123-0123-0123456789ab/channels"


def upgrade(server: Server, path: str, **headers: str) -> Response:
    """Ask for a WebSocket."""
    wanted = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    return server.get(path, **wanted, Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==", **headers)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "localhost", "localhost:1", "127.0.0.1.evil.example:{port}", "[::1]"],
)
def test_a_foreign_host_is_refused_even_with_the_token(server: Server, host: str) -> None:
    """DNS rebinding: another's name points here, and its page would count as the same origin."""
    answer = server.get(f"/?token={server.token}", host=host.format(port=server.port))
    assert answer.status == 403
    assert f"localhost:{server.port}" in answer.text
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://[", "null", "http://localhost:1", "http://127.0.0.1:{port}"]
)
def test_a_foreign_origin_is_refused_also_for_websockets(server: Server, origin: str) -> None:
    cookie, given = server.log_in(), origin.format(port=server.port)
    assert server.get(Cookie=cookie, Origin=given).status == 403
    for path in (PRESENT, CHANNELS):
        assert upgrade(server, path, Cookie=cookie, Origin=given).status == 403
    assert upgrade(server, PRESENT, Cookie=cookie, Origin=server.url.rstrip("/")).status == 101


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(("mode", "dest"), [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")])
def test_what_another_page_embeds_starts_no_kernel(server: Server, site: str, mode: str, dest: str) -> None:
    before = server.kernels
    answer = server.get(Cookie=server.log_in(), Sec_Fetch_Site=site, Sec_Fetch_Mode=mode, Sec_Fetch_Dest=dest)
    assert answer.status == 403
    assert set(server.kernels) <= set(before)


def test_a_link_on_another_page_may_lead_here(server: Server) -> None:
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert server.get(f"/?token={server.token}", **link).status == 302


def test_two_hosts_or_none_are_refused(server: Server) -> None:
    asked = f"GET /?token={server.token} HTTP/1.1\r\n"
    for hosts in ("", f"Host: localhost:{server.port}\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(f"{asked}{hosts}Connection: close\r\n\r\n".encode())
            status = connection.makefile("rb").readline()
        assert status.split()[1] in (b"400", b"403"), status


def test_its_own_names_are_let_in(server: Server) -> None:
    for name in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST"):
        assert server.get(f"/?token={server.token}", host=f"{name}:{server.port}").status == 302


def test_without_the_token_or_with_a_wrong_one_there_is_a_sentence_and_no_kernel(server: Server) -> None:
    before = server.kernels
    for path in ("/", f"/?token={secrets.token_urlsafe(32)}", "/?token="):
        answer = server.get(path, Cookie='username-localhost="2|1:0|10:1"')
        assert answer.status == 403
        assert "harness-nb dashboard" in answer.text
        assert "Set-Cookie" not in answer.headers
    for path in (PRESENT, CHANNELS):
        assert upgrade(server, path).status == 403
    assert server.get(PRESENT.replace("harness/present", "api/kernels")).status in (302, 403)
    assert set(server.kernels) <= set(before)


def test_the_token_leaves_the_address_and_the_cookie_takes_over(server: Server) -> None:
    answer = server.get(f"/?token={server.token}")
    assert (answer.status, answer.headers["Location"]) == (302, "/")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert server.get("/nothing", Cookie=server.log_in()).status == 404


def test_every_response_has_the_protective_headers(server: Server) -> None:
    cookie = server.log_in()
    for path in ("/", "/nothing", "/voila/static/voila.js", f"/?token={server.token}"):
        headers = server.get(path, **({"Cookie": cookie} if path == "/nothing" else {})).headers
        assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_files_and_other_notebooks_are_not_served(server: Server) -> None:
    cookie = server.log_in()
    for path in ("voila/files/icon.svg", "voila/files/page.ipynb", "voila/tree", "voila/render/page.ipynb", "login"):
        assert server.get(f"/{path}", Cookie=cookie).status == 404, path
