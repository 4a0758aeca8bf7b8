"""Write docs/access.md, the scopes and roles of each operation: `python scripts/access_docs.py [--check]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from image_api.actor import DEFAULT_SCOPES, Role
from image_api.app import ROUTERS
from image_api.openapi.operations import api_routes, needs_session, scope_alternatives

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "access.md"
HEAD = """\
# Access: operations, scopes and roles

Every operation with the scopes that it requires, and what each role can reach with its default scopes. A key can have
fewer scopes than its user, but never more.

| entry | meaning |
|---|---|
| `all` | data of every team |
| `team` | data of the caller's own team; the data of other teams does not exist for the caller (404) |
| `own` | data of the caller |
| `-` | refused with 403; in the last column, with 401 |

Keys that are unknown, expired or revoked, or whose user is disabled, are refused everywhere. The last column shows the
operations that need no key, token or session.

`scripts/access_docs.py` generates this page from the routes, and a test calls every operation with every role.

| operation | scopes | admin | member | viewer | without a key |
|---|---|---|---|---|---|
"""


class Access(NamedTuple):
    """An operation. `reach` is what each role can access; `open` means that no authentication is needed."""

    method: str
    path: str
    scopes: tuple[str, ...]
    reach: dict[Role, str]
    open: bool
    session: bool


def accesses() -> list[Access]:
    """Return every documented operation, ordered by path."""
    found = [
        _access(method, path, scope_alternatives(route), session=needs_session(route))
        for path, route in api_routes(ROUTERS)
        if route.include_in_schema
        for method in route.methods or ()
    ]
    return sorted(found, key=lambda access: (access.path, access.method))


def _access(method: str, path: str, alternatives: list[list[str]] | None, *, session: bool) -> Access:
    if alternatives is None:
        return Access(method, path, (), dict.fromkeys(Role, "all"), open=True, session=False)
    scopes, *others = alternatives
    # A user keeps its own credentials with `keys:self`, an admin everybody's.
    of_oneself = "{user_id}/credentials" in path
    own = of_oneself or "/auth/" in path or path.endswith("/whoami")
    reach = {}
    for role in Role:
        if set(scopes) <= set(DEFAULT_SCOPES[role]):
            reach[role] = _reach(role, own=own and not (of_oneself and role is Role.ADMIN))
        else:
            # Another scope opens it for what is one's own.
            reach[role] = "own" if any(set(each) <= set(DEFAULT_SCOPES[role]) for each in others) else "-"
    return Access(method, path, tuple(scopes), reach, open=False, session=session)


def _reach(role: Role, *, own: bool) -> str:
    return "own" if own else "all" if role is Role.ADMIN else "team"


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(_row(access) for access in accesses())


def _row(access: Access) -> str:
    scopes = ", ".join(f"`{scope}`" for scope in access.scopes) or ("" if access.open else "any")
    if access.session:
        scopes += "; signed in"
    reach = " | ".join(access.reach[role] for role in Role)
    return f"| `{access.method} {access.path}` | {scopes} | {reach} | {'yes' if access.open else '-'} |\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page is out of date")
    if not parser.parse_args(arguments).check:
        PAGE.write_text(page())
        return 0
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    sys.stderr.write("docs/access.md is out of date: run `python scripts/access_docs.py`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
