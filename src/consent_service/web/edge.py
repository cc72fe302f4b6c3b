"""The edge, as pure ASGI: request ids, security headers, and what is measured."""

import re
import time
import uuid
from collections.abc import MutableMapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_DOCS_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"

_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Measures:
    """What /metrics shows. Labels are route templates, never paths, which hold pseudonyms."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "consent_requests",
            "Requests by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "consent_request_seconds",
            "Time to answer, by route.",
            ["method", "route"],
            registry=self.registry,
        )
        self.decisions = Counter("consent_decisions", "Answers to checks.", ["permitted"], registry=self.registry)

    def count(self, permitted: bool) -> None:
        """Count one answer to a check."""
        self.decisions.labels(str(permitted).lower()).inc()


class Edge:
    """Wraps the application: gives each request an id, each response its headers, and measures both."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), scope, request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            self._measure(scope, status, time.perf_counter() - started)

    def _measure(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = scope["method"], route_of(scope)
        self._measures.requests.labels(method, route, str(status)).inc()
        self._measures.seconds.labels(method, route).observe(seconds)


def request_id_of(scope: MutableMapping[str, object]) -> str:
    """The id that the edge gave this request."""
    state = scope.get("state")
    return str(state["request_id"]) if isinstance(state, dict) and "request_id" in state else ""


def route_of(scope: Scope) -> str:
    """The route's template, such as /v1/subjects/{sub}; empty where no route took the request."""
    return str(getattr(scope.get("route"), "path", ""))


def _request_id(given: str | None) -> str:
    return given if given and _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _add_headers(headers: MutableHeaders, scope: Scope, request_id: str) -> None:
    headers["X-Request-ID"] = request_id
    for name, value in _SECURITY.items():
        headers.setdefault(name, value)
    headers["Content-Security-Policy"] = _DOCS_POLICY if scope["path"].startswith("/docs") else _API_POLICY
    if scope.get("scheme") == "https":
        headers["Strict-Transport-Security"] = "max-age=63072000"
