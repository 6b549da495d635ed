"""The check that asks an HTTP API and compares what it answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness_nb.errors import CheckCouldNotRunError
from harness_nb.verification.commands import HeadAndTail
from harness_nb.verification.patterns import find_in_text
from harness_nb.verification.registry import CheckContext, Outcome, check
from harness_nb.verification.shortening import shortened

if TYPE_CHECKING:
    import httpx

    from harness_nb.protocol.checks import ApiResponse, ExpectedResponse

MAX_BODY_BYTES = 16 * 1024 * 1024
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_DEFAULT_PORTS = {"http": 80, "https": 443}


def join_url(url: str, base: str | None, what: str) -> str:
    """Return a URL that can be asked; one without a host goes below the base URL.

    Raises:
        CheckCouldNotRunError: there is no base URL to join it to, or the result is not HTTP.

    """
    if "://" not in url:
        if not base:
            raise CheckCouldNotRunError(
                f"{url!r} has no host and there is no {what}. Set {what} in the manifest, or give a whole URL."
            )
        url = f"{base.rstrip('/')}/{url.lstrip('/')}"
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise CheckCouldNotRunError(f"{url!r} is no http or https URL. Correct url or {what}.")
    return url


def _port(spec: ApiResponse, context: CheckContext) -> list[str]:
    # Requests to one server go in the manifest's order: what one creates, the next may read.
    try:
        parts = urlsplit(join_url(spec.url, context.api_base_url, "api_base_url"))
        return [f"port:{parts.port or _DEFAULT_PORTS[parts.scheme]}"]
    except (CheckCouldNotRunError, ValueError):
        return []


@check("api_response", resources=_port)
async def api_response(spec: ApiResponse, context: CheckContext) -> Outcome:
    """Pass when the response has the status, the headers and the body asked for; redirects are not followed."""
    wanted = spec.expects
    if wanted.status is None and wanted.headers is None and wanted.body is None:
        raise CheckCouldNotRunError("expects names nothing to compare. Give a status, headers or a body.")
    url = join_url(spec.url, context.api_base_url, "api_base_url")
    response, text = await _ask(spec, url)
    problems = [*_status_problems(wanted, response), *_header_problems(wanted, response)]
    if wanted.body is not None:
        problems += await _body_problems(wanted, text)
    shown = HeadAndTail()
    shown.add(text.encode())
    kind = response.headers.get("content-type", "no content type")
    output = f"HTTP {response.status_code} {response.reason_phrase} ({kind})\n{shown.text()}"
    where = f"{spec.method.upper()} {_without_login(url)}"
    return Outcome.of(not problems, f"{where}: {'; '.join(problems)}.", output=output)


async def _ask(spec: ApiResponse, url: str) -> tuple[httpx.Response, str]:
    import httpx

    content, headers = _request_body(spec)
    # Proxies are for other machines: a proxy would answer in the name of a server that is not running here.
    trust_env = urlsplit(url).hostname not in _LOOPBACK
    try:
        async with (
            httpx.AsyncClient(timeout=None, trust_env=trust_env) as client,  # noqa: S113 - the engine's limit
            client.stream(spec.method.upper(), url, headers=headers, content=content) as response,
        ):
            return response, await _read(response)
    except httpx.ConnectError as error:
        raise CheckCouldNotRunError(
            f"Nothing answers at {_without_login(url)} ({error}). Start the server, or correct the URL."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        raise CheckCouldNotRunError(f"The request to {_without_login(url)} broke off: {why}.") from error


def _request_body(spec: ApiResponse) -> tuple[bytes | None, dict[str, str]]:
    """Return a body as it is sent: a text as it is, anything else as JSON, with a fitting content type."""
    headers = dict(spec.headers or {})
    if spec.body is None:
        return None, headers
    is_text = isinstance(spec.body, str)
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "text/plain; charset=utf-8" if is_text else "application/json"
    return (spec.body if is_text else json.dumps(spec.body)).encode(), headers


async def _read(response: httpx.Response) -> str:
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise CheckCouldNotRunError(f"The response is larger than {MAX_BODY_BYTES:,} bytes.")
    return bytes(data).decode(response.charset_encoding or "utf-8", errors="replace")


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _status_problems(wanted: ExpectedResponse, response: httpx.Response) -> list[str]:
    if wanted.status in (None, response.status_code):
        return []
    return [f"the status is {response.status_code} and not {wanted.status}"]


def _header_problems(wanted: ExpectedResponse, response: httpx.Response) -> list[str]:
    problems = []
    for name, value in (wanted.headers or {}).items():
        values = response.headers.get_list(name)
        if not values:
            problems.append(f"there is no header {name}")
        # "application/json" is also meant where a charset follows.
        elif not any(given == value or given.startswith(f"{value};") for given in values):
            problems.append(f"the header {name} is {', '.join(values)!r} and not {value!r}")
    return problems


async def _body_problems(wanted: ExpectedResponse, text: str) -> list[str]:
    if wanted.body_match == "regex":
        if not isinstance(wanted.body, str):
            raise CheckCouldNotRunError("bodyMatch regex needs a text in expects.body.")
        match = await find_in_text(text, wanted.body, regex=True)
        return [] if match else [f"the body has no match of {wanted.body!r}"]
    if isinstance(wanted.body, str):
        same = text == wanted.body if wanted.body_match == "exact" else wanted.body in text
        return [] if same else [f"the body {'is not' if wanted.body_match == 'exact' else 'lacks'} {wanted.body!r}"]
    try:
        body = json.loads(text)
    except ValueError as error:
        return [f"the body is not JSON ({error})"]
    problem = difference(wanted.body, body, partial=wanted.body_match == "partial")
    return [problem] if problem else []


def difference(wanted: Any, given: Any, *, partial: bool, place: str = "the body") -> str | None:
    """Say where JSON differs from what is wanted, or nothing.

    With ``partial``, an object may have more keys, and each wanted item of a list must be found somewhere in it.
    """
    if isinstance(wanted, dict) and isinstance(given, dict):
        return _object_difference(wanted, given, partial=partial, place=place)
    if isinstance(wanted, list) and isinstance(given, list):
        return _list_difference(wanted, given, partial=partial, place=place)
    # True == 1 in Python, and is another value in JSON.
    same = wanted == given and isinstance(wanted, bool) == isinstance(given, bool)
    return None if same else f"{place} is {_brief(given)} and not {_brief(wanted)}"


def _object_difference(wanted: dict[str, Any], given: dict[str, Any], *, partial: bool, place: str) -> str | None:
    for key, value in wanted.items():
        if key not in given:
            return f"{place} has no {key!r}"
        problem = difference(value, given[key], partial=partial, place=f"{place}.{key}")
        if problem:
            return problem
    more = [] if partial else [key for key in given if key not in wanted]
    return f"{place} also has {', '.join(map(repr, more))}" if more else None


def _list_difference(wanted: list[Any], given: list[Any], *, partial: bool, place: str) -> str | None:
    if partial:
        for item in wanted:
            if all(difference(item, other, partial=True) for other in given):
                return f"{place} has no item like {_brief(item)}"
        return None
    if len(wanted) != len(given):
        return f"{place} has {len(given)} items and not {len(wanted)}"
    pairs = enumerate(zip(wanted, given, strict=True))
    found = (difference(one, other, partial=False, place=f"{place}[{index}]") for index, (one, other) in pairs)
    return next(filter(None, found), None)


def _brief(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False, default=str), 120)
