"""The commands `up`, `open` and `doctor` of the image-manager command line."""

import contextlib
import os
import shlex
import shutil
import webbrowser
from pathlib import Path
from typing import Annotated
from urllib.request import getproxies, proxy_bypass

import httpx2
import typer

from local_cloud.demo.team import Demo, make_demo
from local_cloud.doctor import examine
from local_cloud.errors import LocalCloudError
from local_cloud.postgres import account
from local_cloud.system.admin_key import ADMIN_USER_ID, AdminKey
from local_cloud.system.environment import (
    DEFAULT_PORT,
    HASH_MASTER_FILE_NAME,
    MASTER_FILE_NAME,
    SESSION_MASTER_FILE_NAME,
    WEBHOOK_MASTER_FILE_NAME,
    Layout,
    Outside,
    choose_layout,
)
from local_cloud.system.sign_in_link import sign_in_link
from local_cloud.system.supervisor import StopRequestedError, Supervisor, data_folder_lock, stopping_on_signals
from local_cloud.system.system_file import FILE_NAME, read_system_file

# Only files that `up` creates: the folder may hold others, too.
MASTER_FILES = (MASTER_FILE_NAME, HASH_MASTER_FILE_NAME, SESSION_MASTER_FILE_NAME, WEBHOOK_MASTER_FILE_NAME)
OWN_PARTS = ("postgres", "emulators", "logs", "database-roles.json", *MASTER_FILES, FILE_NAME)
MOST_NAMED = 5

DataDir = Annotated[Path, typer.Option(help="Folder for all data that is kept between runs.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command("open")(open_console)
    app.command()(doctor)


def up(
    port: Annotated[int, typer.Option(help="Port of the API. 0 selects a free port.")] = DEFAULT_PORT,
    data_dir: DataDir = Path(".local"),
    reset: Annotated[bool, typer.Option("--reset", help="Delete all data before starting.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation before deleting.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Create a demo team with about 60 images.")] = False,
    demo_images: Annotated[
        int | None, typer.Option(min=1, help="Create the demo team with at most so many images.", show_default=False)
    ] = None,
) -> None:
    """Start the whole system on this machine and keep it running until Ctrl-C."""
    data_dir = data_dir.absolute()
    try:
        with data_folder_lock(data_dir):
            if reset:
                _reset(data_dir, confirmed=yes)
            _run(data_dir, port, demo=demo or demo_images is not None, most_images=demo_images)
    except LocalCloudError as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from None


def open_console(data_dir: DataDir = Path(".local")) -> None:
    """Print a link that signs in to the console once, and open it in the browser."""
    system = read_system_file(data_dir.absolute())
    link = None if system is None else sign_in_link(system.url, system.admin_api_key)
    if link is None:
        typer.secho(
            f"No system runs from {data_dir.absolute()} whose admin key is known here: start it with "
            "`image-manager up`, or sign in with a key at its address.",
            fg="red",
            err=True,
        )
        raise typer.Exit(1)
    _say(f"This link signs in once, within 5 minutes:\n{link}")
    # Without a desktop there is no browser to open.
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(link)


def doctor(data_dir: DataDir = Path(".local")) -> None:
    """Show which parts of the system are up, and why others are not."""
    findings = examine(data_dir.absolute())
    for finding in findings:
        mark = typer.style("up  ", fg="green") if finding.is_up else typer.style("down", fg="red")
        _say(f"{mark}  {finding.part:<16} {finding.detail}")
    if not all(finding.is_up for finding in findings):
        raise typer.Exit(1)


def _say(text: str) -> None:
    # A closed terminal must not prevent an orderly shutdown.
    with contextlib.suppress(OSError):
        typer.echo(text)


def _run(data_dir: Path, port: int, *, demo: bool, most_images: int | None) -> None:
    outside = Outside.from_environment(os.environ)
    layout = choose_layout(data_dir, port, outside, read_system_file(data_dir))
    supervisor = Supervisor(layout, _say)
    with stopping_on_signals(supervisor):
        try:
            _say(f"Starting the system from {data_dir}")
            supervisor.start()
            _announce(layout, data_dir, supervisor.admin)
            if demo:
                _demo(layout.url, supervisor, most_images)
            supervisor.watch()
        except StopRequestedError:
            pass
        finally:
            _say("Stopping …")
            supervisor.stop()
            _say("Stopped.")


def _announce(layout: Layout, data_dir: Path, admin: AdminKey) -> None:
    url = layout.url
    link = sign_in_link(url, admin.api_key)
    note = "  (signs in once, within 5 minutes; another: image-manager open)" if link else ""
    _say(f"\nConsole:        {link or url + '/console'}{note}")
    _say(f"API:            {url}\nDocumentation:  {url}/docs\nDelivery:       {layout.delivery_url}/i/…")
    rotation = f"POST {url}/api/v1/user/{ADMIN_USER_ID}/credentials/rotate"
    if admin.is_new:
        _say(f"Admin key:      {admin.api_key}  (shown only once; to replace it: {rotation})")
    elif admin.api_key is not None:
        _say(f"Admin key:      created by an earlier run and stored in {data_dir / FILE_NAME}. To replace it:")
        _say(f"                {rotation}")
    else:
        _say(f"Admin key:      replaced elsewhere. Its holder can rotate it with {rotation}. See docs/operations.md.")
        return
    _say(f"\nTry it:\n  {_curl(url, data_dir, admin)}\n\nPress Ctrl-C to stop.")


def _curl(url: str, data_dir: Path, admin: AdminKey) -> str:
    key = admin.api_key
    if not admin.is_new:
        # The key itself is not shown again, so the shell reads it from the file.
        path = shlex.quote(str(data_dir / FILE_NAME))
        key = f'$(sed -n \'s/.*"admin_api_key": "\\(.*\\)".*/\\1/p\' {path})'
    return f'{_curl_command()} -H "X-API-KEY: {key}" {url}/api/v1/whoami'


def _curl_command() -> str:
    # With a proxy in the environment, curl would send even requests to this machine through it.
    uses_proxy = getproxies().keys() & {"http", "all"} and not proxy_bypass("127.0.0.1")
    return "curl --noproxy 127.0.0.1" if uses_proxy else "curl"


def _demo(url: str, supervisor: Supervisor, most_images: int | None) -> None:
    api_key = supervisor.admin.api_key
    if api_key is None:
        _say("No demo team was created because the admin key is not known here.")
        return
    try:
        made = make_demo(url, api_key, most=most_images, say=_say, should_continue=supervisor.check_parts)
    except httpx2.HTTPError as error:
        typer.secho(f"The demo team could not be created: {error}", fg="red", err=True)
        return
    except ModuleNotFoundError as error:
        message = f"No demo team was created: {error.name} is not installed. Install local-cloud[demo]."
        typer.secho(message, fg="red", err=True)
        return
    if made is None:
        _say("The demo team already exists.")
        return
    _report_demo(url, made)


def _report_demo(url: str, made: Demo) -> None:
    if made.missing:
        rest = f" and {len(made.missing) - MOST_NAMED} more" if len(made.missing) > MOST_NAMED else ""
        missing = ", ".join(made.missing[:MOST_NAMED])
        typer.secho(
            f"The demo team is incomplete. Missing: {missing}{rest}. To create it anew: --reset --demo, which deletes "
            "all data.",
            fg="red",
            err=True,
        )
    _say(f"Demo team with {len(made.image_ids)} images created. Key of its user: {made.api_key}")
    _say(f'  {_curl_command()} -H "X-API-KEY: {made.api_key}" {url}/api/v1/images')


def _reset(data_dir: Path, *, confirmed: bool) -> None:
    if not confirmed:
        typer.confirm(f"Delete all images, teams and keys in {data_dir}?", abort=True)
    account.forget(data_dir / "postgres")
    for name in OWN_PARTS:
        path = data_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
