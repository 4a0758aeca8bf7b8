"""The commands `keys list`, `create`, `rotate` and `revoke`, for the caller's own keys or those of `--user`."""

from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
import typer

from image_client.api import call, connect_api

keys = typer.Typer(no_args_is_help=True, help="Manage API keys: your own or, as an admin, those of another user.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="keys")


@dataclass(frozen=True)
class _Caller:
    """The user whose keys are managed, and a client that reaches the API."""

    client: httpx2.Client
    user_id: str

    def call(self, method: str, path: str = "", **request: Any) -> Any:
        return call(self.client, method, f"users/{self.user_id}/credentials{path}", **request)


@keys.callback()
def _connect(
    context: typer.Context,
    api_key: Annotated[
        str,
        typer.Option(
            envvar="IMAGE_MANAGER_API_KEY",
            help="API key. Prefer the environment variable, which does not appear in process lists.",
        ),
    ],
    url: Annotated[str, typer.Option(envvar="IMAGE_MANAGER_URL", help="URL of the API.")] = "http://127.0.0.1:8080",
    user: Annotated[str | None, typer.Option(help="ID of another user. For admins only.")] = None,
) -> None:
    client = connect_api(url, api_key)
    context.call_on_close(client.close)
    context.obj = _Caller(client, user or call(client, "GET", "whoami")["user_id"])


@keys.command("list")
def list_keys(context: typer.Context) -> None:
    """List keys with their ID, prefix, name, scopes, expiry and last use."""
    cursor = None
    while True:
        page = context.obj.call("GET", params={"cursor": cursor} if cursor else {})
        for credential in page["items"]:
            typer.echo("\t".join(_line(credential)))
        if (cursor := page["next_cursor"]) is None:
            break


def _line(credential: dict[str, Any]) -> list[str]:
    scopes = "all" if credential["scopes"] is None else ",".join(credential["scopes"])
    expiry = (
        f"revoked {credential['revoked_at']}"
        if credential["revoked_at"]
        else credential["expires_at"] or "never expires"
    )
    use = credential["last_use"]
    last_use_text = f"{use['used_at']} from {use['address']}" if use else "never used"
    return [credential["id"], credential["key_prefix"], credential["name"], scopes, expiry, last_use_text]


@keys.command("create")
def create_key(
    context: typer.Context,
    name: str,
    scope: Annotated[list[str] | None, typer.Option(help="Scope of the key. Can be repeated.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="Time of expiry, for example 2030-01-01T00:00:00Z.")] = None,
    address_range: Annotated[
        list[str] | None, typer.Option(help="Network that the key can be used from. Can be repeated.")
    ] = None,
) -> None:
    """Create a key and print it. It is not shown again."""
    body = {"name": name, "scopes": scope, "expires_at": expires_at, "address_ranges": address_range}
    typer.echo(context.obj.call("POST", json={field: value for field, value in body.items() if value})["api_key"])


@keys.command("rotate")
def rotate_key(
    context: typer.Context,
    credential_id: Annotated[
        str | None, typer.Argument(help="ID of the key. Default: the key used for this command.")
    ] = None,
    grace_seconds: Annotated[
        int, typer.Option(help="Seconds for which the old key keeps working: 0 to 604800.")
    ] = 86_400,
) -> None:
    """Replace a key and print the new one. It is not shown again."""
    body: dict[str, Any] = {"grace_period_seconds": grace_seconds}
    if credential_id:
        body["credential_id"] = credential_id
    typer.echo(context.obj.call("POST", "/rotate", json=body)["api_key"])


@keys.command("revoke")
def revoke_key(context: typer.Context, credential_id: str) -> None:
    """Revoke a key permanently, together with the key that it replaced."""
    context.obj.call("DELETE", f"/{credential_id}")
