"""The docs page: Swagger UI with assets that the service itself serves, for a school's filter lets nothing else in."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send


class _Whole(StaticFiles):
    """Files that are always sent whole: a range that cannot be would be refused, and with no problem."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        asked = [(name, value) for name, value in scope.get("headers", ()) if name not in (b"range", b"if-range")]
        await super().__call__({**scope, "headers": asked}, receive, send)


ASSETS = _Whole(directory=Path(fastapi_offline.__file__).parent / "static")

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Consent service</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" href="/docs/assets/favicon.png">
</head>
<body>
<div id="page"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

_START = """window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""


@router.get("/", response_class=RedirectResponse)
async def front_door() -> str:
    """The docs page is where people work."""
    return "/docs"


@router.get("/docs", response_class=HTMLResponse)
async def page() -> str:
    """The page."""
    return _PAGE


@router.get("/docs/start.js")
async def start() -> Response:
    """A script of its own, so that the page needs no inline script."""
    return Response(_START, media_type="text/javascript")
