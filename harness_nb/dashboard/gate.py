"""Who may speak to the server at all, looked at before Voilà sees a request.

The server listens on this machine alone, but a browser on this machine also runs the pages of others. Their two ways
in are a name of theirs that they let point here (DNS rebinding; the Host header tells), and requests or WebSockets that
their page sends here (the Origin header tells, and what the browser says of the request's site).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jupyter_server.base.handlers import JupyterHandler
from tornado.routing import Router
from tornado.web import OutputTransform, RequestHandler

from harness_nb import templates
from harness_nb.store.refusals import shown_address, shown_method, shown_path

if TYPE_CHECKING:
    from collections.abc import Collection

    from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
    from tornado.web import Application

DOOR = "page port"
"""How the journal names this door; what somebody does on the page came through the page itself."""
REFUSING = (401, 403)
NAMES = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    # nothing of another host is ever loaded, and no other page may put this one into a frame
    "Content-Security-Policy": (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
        "frame-ancestors 'self'; base-uri 'none'; form-action 'self'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the first address holds the token
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def hosts_of(port: int) -> frozenset[str]:
    """Return the Host headers that mean this server on a port."""
    short = NAMES if port == 80 else ()  # browsers leave it out there
    return frozenset((*(f"{name}:{port}" for name in NAMES), *short))


@dataclass(frozen=True)
class Refused:
    """Why a request is refused: a word for it, what its sender is told, and what was tried."""

    why: str
    text: str
    tried: dict[str, str]


class Gate(Router):
    """Hands requests on to an application, except those that are not from its own pages.

    ``hosts`` are the names it answers to; without them, as on a Unix socket, any name will do.
    """

    def __init__(self, application: Application, hosts: Collection[str] | None) -> None:
        self._application = application
        self._hosts = hosts

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate | None:
        """Return who answers a request."""
        refused = self.refused(request.headers)
        if refused is None:
            return self._application.find_handler(request)
        return self._application.get_handler_delegate(request, Refusal, {"refused": refused})

    def refused(self, headers: HTTPHeaders) -> Refused | None:
        """Return why a request is refused, or None."""
        host, origins = headers.get("Host", "").lower(), headers.get_list("Origin")
        if self._hosts is not None and host not in self._hosts:
            names = " and ".join(sorted(self._hosts))
            text = f"This server answers to {names} only. Use one of these in the address."
            return Refused("foreign_host", text, {"host": shown_address(host)})
        if any(not _is_same(origin, host) for origin in origins):
            text = "This request comes from another site's page, and only the dashboard's own page may send any."
            return Refused("foreign_origin", text, {"origin": shown_address(", ".join(origins))})
        foreign = headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        if foreign and headers.get("Sec-Fetch-Dest") != "document":  # a link may lead here, and nothing else
            text = "Another site's page asks for this, and only the dashboard's own page may load it."
            return Refused("foreign_page", text, {"site": headers["Sec-Fetch-Site"]})
        return None


def _is_same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin.lower())
    except ValueError:  # such as "http://[": no page has that
        return False
    return parts.scheme in ("http", "https") and parts.netloc == host


class Refusal(RequestHandler):
    """Answers every request with the sentence that says why not."""

    def initialize(self, refused: Refused) -> None:
        """Take what to say."""
        self.refused = refused

    def prepare(self) -> None:
        """Answer, whatever the method is."""
        self.set_status(403)
        self.finish(templates.render("dashboard_closed.html", text=self.refused.text))


def refusal_of(handler: RequestHandler) -> Refused | None:
    """Return why a request was refused that has been answered, or None; nothing in it is what its sender wrote."""
    if isinstance(handler, Refusal):
        return handler.refused
    led_away = (*REFUSING, 302) if isinstance(handler, JupyterHandler) else REFUSING
    known = getattr(handler, "_jupyter_current_user", None) is not None
    if handler.get_status() not in led_away or (known and handler.get_status() not in REFUSING):
        return None
    request = handler.request
    tried = {"asked": f"{shown_method(request.method or '')} {shown_path(request.path, ('/',))}"}
    if known:
        return Refused("foreign_request", "This request lacks what the dashboard's own page sends along.", tried)
    if "token" in request.arguments or "Authorization" in request.headers:
        return Refused("wrong_token", "The token that was shown is not this page's.", tried)
    return Refused("no_token", "Neither the page's token was shown nor the cookie that is given for it.", tried)


class Headers(OutputTransform):
    """Puts the same protective headers on every response, whichever handler made it."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool  # noqa: FBT001, ARG002
    ) -> tuple[int, HTTPHeaders, bytes]:  # fmt: skip
        """Set them."""
        for name, value in HEADERS.items():
            headers[name] = value
        return status_code, headers, chunk
