"""Routes of pages: guarded like operations of the API, with forms in place of bodies."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant

from image_api.console.file_forms import read_file_form
from image_api.console.forms import read_form
from image_api.console.frame import SecretPage, render
from image_api.idempotency.route import IdempotentRoute
from image_api.idempotency.service import Answer

_SAME_AS = "x-same-as"
_SAFE_METHODS = frozenset({"GET", "HEAD"})


def same_as(*operations: str) -> dict[str, Any]:
    """Return the `openapi_extra` of a page that does what these operations do, such as `GET /api/v1/whoami`.

    A test compares the rights, the need of a session and the `Idempotency-Key` of both.
    """
    return {_SAME_AS: operations}


def operations_of(route: "PageRoute") -> tuple[str, ...]:
    """Return the operations that a page names."""
    named: tuple[str, ...] = (route.openapi_extra or {}).get(_SAME_AS, ())
    return named


class PageRoute(IdempotentRoute):
    """A route of a page. Every form is read by `read_form` or `read_file_form`, which check where it comes from."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler; the CSRF token of a form is in the form, not in a header."""
        handler = super().get_route_handler()
        if (self.methods or set()) <= _SAFE_METHODS:
            return handler
        if not _reads_form(self.dependant):
            raise TypeError(f"{self.path} changes something without `FormDep`")

        async def handle(request: Request) -> Response:
            request.state.csrf_in_form = True
            return await handler(request)

        return handle

    def stored_answer(self, response: Response) -> Answer:
        """Return a redirect as it is, and of a page with a secret only where it leads back to."""
        if isinstance(response, SecretPage):
            return Answer(response.status_code, {}, response.back.encode())
        return super().stored_answer(response)

    def replay(self, request: Request, answer: Answer) -> Response:
        """Repeat a redirect; in place of a secret, say that it has been shown."""
        if answer.status == 200:
            return render(request, "shown_before.html", {"back": answer.body.decode()})
        return super().replay(request, answer)


def _reads_form(dependant: Dependant) -> bool:
    return dependant.call in (read_form, read_file_form) or any(
        _reads_form(dependency) for dependency in dependant.dependencies
    )
