"""How commands reach the API, and what they say if it refuses."""

from typing import Any
from urllib.parse import urlsplit

import httpx2
import typer

TIMEOUT_SECONDS = 30
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def connect(url: str, **options: Any) -> httpx2.Client:
    """Return a client for a server; the proxy of the environment is not asked for this machine."""
    direct = urlsplit(url).hostname in LOOPBACK
    return httpx2.Client(timeout=TIMEOUT_SECONDS, trust_env=not direct, **options)


def connect_api(url: str, api_key: str) -> httpx2.Client:
    """Return a client whose paths begin after `/api/v1/`."""
    return connect(url, base_url=f"{url}/api/v1/", headers={"X-API-KEY": api_key})


def ask(client: httpx2.Client, method: str, path: str, **request: Any) -> httpx2.Response:
    """Return a response, or print the problem and exit with 1."""
    try:
        answer = client.request(method, path, **request)
    except httpx2.HTTPError as error:
        typer.secho(f"{client.base_url} does not respond: {error}", fg="red", err=True)
        raise typer.Exit(1) from None
    if answer.is_success:
        return answer
    typer.secho(reason_of(answer), fg="red", err=True)
    raise typer.Exit(1)


def call(client: httpx2.Client, method: str, path: str, **request: Any) -> Any:
    """Return the body of a response, or print the problem and exit with 1."""
    answer = ask(client, method, path, **request)
    return answer.json() if answer.content else None


def reason_of(answer: httpx2.Response) -> str:
    """Return what a response says is wrong."""
    try:
        problem = answer.json()
        return f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
