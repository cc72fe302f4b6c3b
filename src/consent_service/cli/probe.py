"""Asking a running service whether it is ready."""

from typing import Annotated

import httpx
import typer

from consent_service.cli.commands import app, console
from consent_service.faults import StartFault


@app.command()
def probe(
    url: Annotated[str, typer.Option(help="Where the service is.", envvar="CONSENT_URL")] = "http://127.0.0.1:8000",
) -> None:
    """Exit 0 if the service is ready, 1 if not; for a container's health check."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=5)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StartFault(f"no answer from {url}: {str(error) or type(error).__name__}") from None
    if not answer.is_success:
        raise StartFault(f"the service at {url} is not ready: {answer.text}")
    console.print(f"The service at {url} is ready.", highlight=False)
