"""Rendering of pages within the frame that all of them share."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from image_api.actor import Actor, Scope
from image_api.console.places import SIGN_IN
from image_api.console.policy import HOME, console_policy
from image_api.http.paths import STATIC_PREFIX
from image_api.people.cookies import set_session_cookie
from image_api.proofs import session_cookies
from image_api.services import Services
from image_api.web_pages.static_files import StaticFiles
from image_api.web_pages.templates import Templates
from image_core import errors
from image_core.errors.problem_documents import status_of
from image_core.ids import new_id

if TYPE_CHECKING:
    from markupsafe import Markup

static_files = StaticFiles("image_api.console", f"{STATIC_PREFIX}/console")


_CODE = re.compile(r"`([^`]+)`")
# Nothing of a session stays in the browser, not even pages that it fetched in advance.
_CLEAR = '"cache", "storage", "prefetchCache", "prerenderCache"'


class NavItem(NamedTuple):
    """A link of the navigation; some pages are only for people who signed in with a password.

    Links with a `menu` stand in that menu, all others in a row.
    """

    path: str
    name: str
    menu: str | None = None
    for_people: bool = False
    scope: Scope | None = None

    def is_for(self, actor: Actor) -> bool:
        """Return whether the caller can open the page."""
        return (self.scope is None or self.scope in actor.scopes) and not (self.for_people and actor.credential_id)


_NAVIGATION = (
    NavItem(f"{HOME}/images", "Images", scope=Scope.IMAGES_READ),
    NavItem(f"{HOME}/collections", "Collections", scope=Scope.IMAGES_READ),
    NavItem(f"{HOME}/links", "Share links", scope=Scope.DELIVERY_MANAGE),
    NavItem(f"{HOME}/searches", "Searches", scope=Scope.IMAGES_READ),
    NavItem(f"{HOME}/trash", "Trash", scope=Scope.IMAGES_READ),
    NavItem(f"{HOME}/operations", "Operations", "Team", scope=Scope.IMAGES_READ),
    NavItem(f"{HOME}/teams", "Teams", "Team", scope=Scope.ADMIN),
    NavItem(f"{HOME}/submissions", "Submissions", "Team", scope=Scope.IMAGES_READ),
    NavItem(f"{HOME}/people", "People", "Team"),
    NavItem(f"{HOME}/keys", "Keys", "Team"),
    NavItem(f"{HOME}/delivery-keys", "Delivery keys", "Team", scope=Scope.DELIVERY_KEYS),
    NavItem(f"{HOME}/webhooks", "Webhooks", "Team", scope=Scope.WEBHOOKS_MANAGE),
    NavItem(f"{HOME}/upload-tokens", "Upload tokens", "Team", scope=Scope.IMAGES_WRITE),
    NavItem(f"{HOME}/presets", "Presets", "Team", scope=Scope.IMAGES_READ),
    NavItem(f"{HOME}/metadata-schema", "Metadata schema", "Team", scope=Scope.IMAGES_READ),
    NavItem(f"{HOME}/usage", "Usage", "Team", scope=Scope.USAGE_READ),
    NavItem(f"{HOME}/settings", "Settings", "Team"),
    NavItem(f"{HOME}/users", "Users", "Team", scope=Scope.ADMIN),
    NavItem(f"{HOME}/audit", "Audit log", "Team", scope=Scope.ADMIN),
    NavItem(f"{HOME}/dead-letters", "Dead letters", "Team", scope=Scope.ADMIN),
    NavItem(f"{HOME}/health", "System health", "Team", scope=Scope.ADMIN),
    NavItem(HOME, "Who am I", "Account"),
    NavItem(f"{HOME}/sessions", "Sessions", "Account", for_people=True),
    NavItem(f"{HOME}/password", "Password", "Account", for_people=True),
)


def pages_for(actor: Actor) -> list[NavItem]:
    """Return the pages of the navigation that the caller can open."""
    return [item for item in _NAVIGATION if item.is_for(actor)]


@cache
def _templates() -> Templates:
    templates = Templates("image_api.console", static_files)
    templates.environment.filters["marked"] = marked
    templates.environment.filters["moment"] = moment
    templates.environment.filters["machine_time"] = machine_time
    return templates


def marked(text: str) -> "Markup":
    """Return the text of an error as HTML, with what stands in backticks as code."""
    from markupsafe import Markup, escape

    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 (it has been escaped)


def moment(time: datetime) -> str:
    """Return a time for people, in UTC: `30 Nov 2026, 01:46 UTC`."""
    at = time.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def machine_time(time: datetime) -> str:
    """Return a time for `<time datetime>`: `2026-11-30T01:46:44Z`."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def render(
    request: Request,
    template: str,
    values: Mapping[str, Any] | None = None,
    *,
    team_id: UUID | None = None,
    status: int = 200,
) -> HTMLResponse:
    """Return a page in the frame, for the caller of the request if there is one.

    `team_id` is the team that an admin has chosen; it stays in the addresses of all links. A page that shows a form
    again has its `refusal` among the values, which gives the status and headers of the answer.
    """
    services: Services = request.app.state.services
    actor: Actor | None = getattr(request.state, "actor", None)
    cookie = request.cookies.get(services.settings.session_cookie_name)
    frame = {
        "actor": actor,
        "csrf_token": session_cookies.csrf_token(cookie) if cookie and actor else "",
        "navigation": pages_for(actor) if actor else [],
        "path": request.url.path,
        "chosen_team_id": team_id,
        "link": lambda path, **query: _link(path, team_id, query),
        "new_key": new_id,
        "is_local": services.settings.is_local,
        "base_url": public_url(request),
    }
    policy = console_policy(services.settings)
    # Browsers fetch the list, or an image, when somebody is about to follow a link to it.
    headers = {"speculation-rules": f'"{static_files.url("next-page.speculationrules")}"'} if actor else {}
    shown = {**frame, **(values or {})}
    refusal: Refusal | None = shown.get("refusal")
    if refusal is not None:
        status, headers = refusal.status, headers | refusal.headers
    return _templates().page(template, shown, policy=policy, status=status, headers=headers)


def public_url(request: Request) -> str:
    """Return the URL of this service without a trailing slash: the configured one, else the one that was asked."""
    services: Services = request.app.state.services
    return services.settings.base_url or str(request.base_url).rstrip("/")


def _link(path: str, team_id: UUID | None, query: dict[str, Any]) -> str:
    named = {"team_id": team_id, **query}
    encoded = urlencode({name: value for name, value in named.items() if value is not None})
    return f"{path}?{encoded}" if encoded else path


class Refusal(NamedTuple):
    """Why a form was refused, in the words of the API's error."""

    status: int
    code: str
    title: str
    detail: str
    by_field: dict[str, str]
    headers: dict[str, str]


def refusal_of(error: errors.AppError) -> Refusal:
    """Return what a page shows of an error, next to the fields that it concerns."""
    by_field = {str(each["field"]): str(each["message"]) for each in error.extra.get("errors", ())}
    seconds = getattr(error, "retry_after_seconds", None)
    headers = {} if seconds is None else {"retry-after": str(seconds)}
    return Refusal(status_of(error), error.code, error.title(), error.detail, by_field, headers)


def show_again_if_refused(request: Request, page: Callable[[Refusal], Response]) -> None:
    """Show this page in place of an error that this request will raise, after its transaction was rolled back."""
    request.state.form_page = page


class SecretPage(HTMLResponse):
    """A page with a secret, which is not stored; sent again, its form says so and links to `back`."""

    def __init__(self, page: HTMLResponse, back: str) -> None:
        super().__init__(bytes(page.body), page.status_code, dict(page.headers))
        self.back = back


def show_secret(
    request: Request, title: str, secret: str, *, back: str, team_id: UUID | None = None, **values: Any
) -> SecretPage:
    """Return the page that shows a new secret once. `back` is the path of the page from which it was made."""
    link_back = _link(back, team_id, {})
    shown = {"title": title, "secret": secret, "back": link_back, **values}
    return SecretPage(render(request, "secret.html", shown, team_id=team_id), link_back)


def enter(services: Services, cookie: str, path: str) -> RedirectResponse:
    """Return the redirect after signing in, with the new session's cookie."""
    response = go_to(path)
    set_session_cookie(response, services.settings, cookie)
    return response


def signed_out(services: Services) -> RedirectResponse:
    """Return the redirect after the caller's session has ended."""
    response = go_to(SIGN_IN)
    set_session_cookie(response, services.settings, "")
    response.headers["clear-site-data"] = _CLEAR
    return response


def go_to(path: str, team_id: UUID | None = None, **query: str) -> RedirectResponse:
    """Return the redirect after a form that has succeeded, with the team that an admin has chosen."""
    return RedirectResponse(_link(path, team_id, query), 303)
