"""A Messages API on loopback that says what a script says, and keeps every request as it came.

Claude Code talks to it as to any other: with server-sent events, after a look at ``HEAD /``, and with other requests
beside the conversation (titles, token counts), which get a word and no script.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Request = dict[str, Any]
    Step = Callable[[Request], "list[dict[str, Any]]"]

USAGE = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}


def say(text: str) -> list[dict[str, Any]]:
    """Return what a model says when it says just this."""
    return [{"type": "text", "text": text}]


def use(number: int, tool: str, **arguments: Any) -> list[dict[str, Any]]:
    """Return what a model says when it uses a tool."""
    return [{"type": "tool_use", "id": f"toolu_{number:03}", "name": tool, "input": arguments}]


def result_in(request: Request) -> str:
    """Return what the last tool brought, as text."""
    said = [one["content"] for one in request["messages"] if isinstance(one["content"], list)]
    for block in (block for content in reversed(said) for block in reversed(content)):
        if block.get("type") == "tool_result":
            content = block.get("content")
            return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content or ())
    raise AssertionError("no tool has brought anything")


class ScriptedModel:
    """The script's steps, of which each request of the conversation gets the next, and all that came."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.requests: list[bytes] = []
        self.failures: list[str] = []
        self.done = 0
        self._steps = steps
        self._lock = threading.Lock()

    def answer(self, body: bytes) -> tuple[bool, list[dict[str, Any]]]:
        """Return whether an answer is streamed, and its blocks."""
        request = json.loads(body)
        with self._lock:
            if not any(tool.get("name") == "Bash" for tool in request.get("tools") or ()):
                return bool(request.get("stream")), say("fine")
            if self.done >= len(self._steps):
                return bool(request.get("stream")), say("That is all.")
            step = self._steps[self.done]
            self.done += 1
        try:
            return bool(request.get("stream")), step(request)
        except Exception as error:
            self.failures.append(f"step {self.done}: {error!r}: {json.dumps(request['messages'][-1])[:3000]}")
            return bool(request.get("stream")), say("I give up.")


@contextmanager
def served(model: ScriptedModel) -> Iterator[str]:
    """Serve a scripted model on loopback, and give its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._send(b"", "application/json")

        def do_GET(self) -> None:
            self._send(b"{}", "application/json")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            model.requests.append(f"{self.requestline}\n{self.headers}".encode() + body)
            if "count_tokens" in self.path:
                self._send(b'{"input_tokens": 1}', "application/json")
            elif "/v1/messages" not in self.path:
                self._send(b"{}", "application/json")
            else:
                streamed, blocks = model.answer(body)
                if streamed:
                    self._send(_events(blocks), "text/event-stream")
                else:
                    self._send(json.dumps(_message(blocks)).encode(), "application/json")

        def _send(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def _message(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    stop = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    return {
        "id": "msg_scripted", "type": "message", "role": "assistant", "model": "scripted", "content": blocks,
        "stop_reason": stop, "stop_sequence": None, "usage": USAGE,
    }  # fmt: skip


def _events(blocks: list[dict[str, Any]]) -> bytes:
    whole = _message(blocks)
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}]
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            begun, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            begun = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        events += [
            {"type": "content_block_start", "index": index, "content_block": begun},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    events += [{"type": "message_delta", "delta": stop, "usage": USAGE}, {"type": "message_stop"}]
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)
