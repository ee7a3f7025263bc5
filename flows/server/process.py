"""The process of our Prefect server: `python -m flows.server.process <descriptor of a listening socket>`.

Prefect's own check of the login lets some routes pass (health, readiness). Here no route of the API is answered
without the login, and none is answered to a page of another origin or under another name of this machine. Prefect's
page cannot be put into a frame, and cannot send anything to another site.
"""

import base64
import functools
import hmac
import os
import socket
import sys
from typing import Any

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings

_NAMES = (b"127.0.0.1", b"localhost")
_POLICY = (
    b"content-security-policy",
    b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'; form-action 'self'",
)
_JSON = (b"content-type", b"application/json")


class Gate:
    """An ASGI application that passes on what may be asked.

    Args:
        app: Prefect's application.
        secret: user and password, separated by a colon.
    """

    def __init__(self, app: Any, secret: str) -> None:
        self._app = app
        self._login = b"Basic " + base64.b64encode(secret.encode())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request: pass it on to Prefect, or refuse it."""
        status = 200 if scope["type"] == "lifespan" else self._status(scope)
        if status == 200:
            await self._app(scope, receive, functools.partial(_send_with_policy, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            body = b'{"exception_message": "Unauthorized"}' if status == 401 else b'{"exception_message": "Forbidden"}'
            await send({"type": "http.response.start", "status": status, "headers": [_JSON]})
            await send({"type": "http.response.body", "body": body})

    def _status(self, scope: Any) -> int:
        headers = dict(scope["headers"])
        host, origin = headers.get(b"host", b""), headers.get(b"origin")
        if host.partition(b":")[0] not in _NAMES or origin not in (None, b"http://" + host):
            return 403
        # A WebSocket's login is its first message, which Prefect checks.
        needs_login = scope["type"] == "http" and scope["path"].startswith("/api/")
        if scope["path"] == "/api/health" and headers.get(b"sec-fetch-site") == b"same-origin":
            return 200  # Prefect's page asks without its login whether the server lives
        has_login = hmac.compare_digest(headers.get(b"authorization", b""), self._login)
        return 200 if has_login or not needs_login else 401


async def _send_with_policy(send: Any, message: Any) -> None:
    if message["type"] == "http.response.start":
        message = {**message, "headers": [*message.get("headers", ()), _POLICY]}
    await send(message)


def main(descriptor: int) -> None:
    """Answer requests until a signal ends the process."""
    # The port stays ours until this process, which holds the lock of `flows.server.home`, is gone.
    os.dup(descriptor)
    listener = socket.socket(fileno=descriptor)
    secret = get_current_settings().server.api.auth_string
    if secret is None:
        raise SystemExit("PREFECT_SERVER_API_AUTH_STRING is not set")
    gate = Gate(create_app(final=True), secret.get_secret_value())
    uvicorn.Server(uvicorn.Config(gate, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
