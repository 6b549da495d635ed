"""Who may speak to the server at all, looked at before Voilà sees a request.

The server listens on this machine alone, but a browser on this machine also runs the pages of others. Their two ways
in are a name of theirs that they let point here (DNS rebinding; the Host header tells), and requests or WebSockets that
their page sends here (the Origin header tells, and what the browser says of the request's site).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tornado.routing import Router
from tornado.web import OutputTransform, RequestHandler

from harness_nb import templates

if TYPE_CHECKING:
    from collections.abc import Collection

    from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
    from tornado.web import Application

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


class Gate(Router):
    """Hands requests on to an application, except those that are not from its own pages.

    ``hosts`` are the names it answers to; without them, as on a Unix socket, any name will do.
    """

    def __init__(self, application: Application, hosts: Collection[str] | None) -> None:
        self._application = application
        self._hosts = hosts

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate | None:
        """Return who answers a request."""
        refusal = self.refusal(request.headers)
        if refusal is None:
            return self._application.find_handler(request)
        return self._application.get_handler_delegate(request, Refusal, {"text": refusal})

    def refusal(self, headers: HTTPHeaders) -> str | None:
        """Return why a request is refused, or None."""
        host, origins = headers.get("Host", "").lower(), headers.get_list("Origin")
        if self._hosts is not None and host not in self._hosts:
            return f"This server answers to {' and '.join(sorted(self._hosts))} only. Use one of these in the address."
        if any(not _is_same(origin, host) for origin in origins):
            return "This request comes from another site's page, and only the dashboard's own page may send any."
        foreign = headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        if foreign and headers.get("Sec-Fetch-Dest") != "document":  # a link may lead here, and nothing else
            return "Another site's page asks for this, and only the dashboard's own page may load it."
        return None


def _is_same(origin: str, host: str) -> bool:
    parts = urlsplit(origin.lower())
    return parts.scheme in ("http", "https") and parts.netloc == host


class Refusal(RequestHandler):
    """Answers every request with the sentence that says why not."""

    def initialize(self, text: str) -> None:
        """Take what to say."""
        self._text = text

    def prepare(self) -> None:
        """Answer, whatever the method is."""
        self.set_status(403)
        self.finish(templates.render("dashboard_closed.html", text=self._text))


class Headers(OutputTransform):
    """Puts the same protective headers on every response, whichever handler made it."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool  # noqa: FBT001, ARG002
    ) -> tuple[int, HTTPHeaders, bytes]:  # fmt: skip
        """Set them."""
        for name, value in HEADERS.items():
            headers[name] = value
        return status_code, headers, chunk
