"""What every response below `/console` has in common: its headers, errors as pages, and the way to the sign-in page."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_api.console.forms import CSRF_FIELD, KEY_FIELD, Form
from image_api.console.frame import Refusal, render
from image_api.console.places import named_host, sign_in_path
from image_api.console.policy import is_console, page_headers
from image_api.settings import ApiSettings
from image_core.errors.problem_documents import MEDIA_TYPE

AGAIN = "again"
_OTHER_SITES = frozenset({"cross-site", "same-site"})
_NOT_SIGNED_IN = frozenset({"api-key-missing", "session-ended"})
_WITHHELD = frozenset({"api-key-missing", "cross-site-request"})
_BODY_HEADERS = frozenset({b"content-type", b"content-length", b"www-authenticate"})


class ConsoleMiddleware:
    """Give browsers pages instead of problem documents. Pure ASGI; outside of all that answers with problems."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app, self._base_url = app, settings.base_url
        self._headers = page_headers(settings)
        self._names = {name for name, _ in self._headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_console(scope["path"]):
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope)
        send = self._with_headers(send)
        if visit.is_navigation and (base_url := named_host(visit.headers.get("host", ""), self._base_url)):
            await RedirectResponse(f"{base_url}{visit.address}", 307)(scope, receive, send)
            return
        problem: Message | None = None

        async def send_page(message: Message) -> None:
            nonlocal problem
            if message["type"] == "http.response.start" and visit.wants_page and _is_problem(message):
                problem = message
            elif problem is not None:
                response = visit.page_of(problem["status"], orjson.loads(message["body"]))
                _carry_headers(problem, response)
                problem = None
                await response(scope, receive, send)
            else:
                await send(message)

        await self._app(scope, receive, send_page)

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = [(name, value) for name, value in message["headers"] if name.lower() not in self._names]
                message = {**message, "headers": [*others, *self._headers]}
            await send(message)

        return send_with_headers


def _is_problem(start: Message) -> bool:
    return any(name == b"content-type" and value.startswith(MEDIA_TYPE.encode()) for name, value in start["headers"])


def _carry_headers(start: Message, response: Response) -> None:
    """Give a page the headers of the problem that it replaces: limits, request id, and those of all responses."""
    own = {name for name, _ in response.raw_headers} | _BODY_HEADERS
    response.raw_headers += [(name, value) for name, value in start["headers"] if name not in own]


def _type_of(field: str) -> str:
    return "hidden" if field == KEY_FIELD else "password" if "password" in field else "text"


class _Visit:
    """One request of a browser. The marker of a second try is taken out of its query."""

    def __init__(self, scope: Scope) -> None:
        self._scope, self.headers = scope, Headers(scope=scope)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        self._is_again = (AGAIN, "1") in query
        if self._is_again:
            query = [pair for pair in query if pair != (AGAIN, "1")]
            scope["query_string"] = urlencode(query).encode()
        self._query = query
        self.is_navigation = scope["method"] in ("GET", "HEAD") and self._accepts_html()
        self.wants_page = scope["method"] != "HEAD" and self._accepts_html()

    def _accepts_html(self) -> bool:
        return "text/html" in self.headers.get("accept", "").lower()

    @property
    def address(self) -> str:
        """Path and query, without the marker."""
        query: str = self._scope["query_string"].decode("latin-1")
        raw: str = self._scope.get("raw_path", self._scope["path"].encode()).decode("latin-1").partition("?")[0]
        return f"{raw}?{query}" if query else raw

    def page_of(self, status: int, problem: dict[str, Any]) -> Response:
        """Return the page in place of a problem document."""
        if problem["code"] == "not-found":
            problem |= {"title": "Page not found", "detail": "There is no such page."}
        if self.is_navigation and (way := self._way_to_sign_in(problem["code"])):
            return way
        form: Form | None = getattr(self._request.state, "stale_form", None)
        if problem["code"] == "csrf-token-invalid" and form is not None:
            return self._form_again(form)
        form_page: Callable[[Refusal], Response] | None = getattr(self._request.state, "form_page", None)
        if form_page is not None:
            by_field = {each["field"]: each["message"] for each in problem.get("errors", ())}
            return form_page(Refusal(status, problem["code"], problem["title"], problem["detail"], by_field, {}))
        return render(self._request, "error.html", {"problem": problem}, status=status)

    @property
    def _request(self) -> Request:
        return Request(self._scope)

    def _way_to_sign_in(self, code: str) -> Response | None:
        from_elsewhere = self.headers.get("sec-fetch-site") in _OTHER_SITES
        if code in _WITHHELD and from_elsewhere and not self._is_again:
            # Browsers withhold the cookie from a navigation that another site began, but not from this one.
            path = f"{self._scope['path']}?{urlencode([*self._query, (AGAIN, '1')])}"
            return render(self._request, "again.html", {"address": path})
        return RedirectResponse(sign_in_path(self.address), 303) if code in _NOT_SIGNED_IN else None

    def _form_again(self, form: Form) -> Response:
        fields: list[dict[str, Any]] = [
            {"name": name, "value": value, "type": _type_of(name)} for name, value in form.fields if name != CSRF_FIELD
        ]
        values = {"fields": fields, "address": self.address}
        return render(self._request, "form_again.html", values, status=403)
