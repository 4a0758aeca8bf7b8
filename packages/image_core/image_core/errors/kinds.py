"""The kinds of errors: the root of the tree and its branches.

    AppError
    ├── Unauthorized   the caller is not authenticated               401
    ├── Forbidden      authenticated, but not allowed                403
    ├── NotFound       absent, or another team's                     404
    ├── Conflict       the current state does not allow it           409
    ├── Gone           it existed, and will not come back            410
    ├── Precondition   the caller's copy is out of date              412
    ├── Invalid        the request can never succeed as it is        400, 413, 415, 416, 422
    ├── LimitExceeded  too many requests, or a quota is used up      429
    └── Unavailable    a dependency is unavailable; try again        503

A leaf has a stable `code` (also a heading in docs/errors.md), and the first line of its docstring is the title that
clients see. Only the subclasses of `Invalid` carry an HTTP status, because they share a kind.
"""

from typing import Any, ClassVar


class AppError(Exception):
    """The root: `detail` is a sentence for people, `extra` holds values that help to fix the cause."""

    code: ClassVar[str]

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra

    @classmethod
    def title(cls) -> str:
        """Return the first line of the class's docstring, without its full stop."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0].removesuffix(".")


class Unauthorized(AppError):
    """The caller is not known."""


class Forbidden(AppError):
    """The caller is not allowed to do this."""


class NotFound(AppError):
    """There is nothing here, or nothing that the caller may see."""


class Conflict(AppError):
    """The state of things does not allow this now."""


class Gone(AppError):
    """What was here will not come back."""


class Precondition(AppError):
    """The caller's copy is out of date."""


class Invalid(AppError):
    """The request can never succeed as it is."""

    status: ClassVar[int] = 422


class LimitExceeded(AppError):
    """Too much was asked for. `retry_after_seconds` is null where waiting alone does not help."""

    def __init__(self, detail: str = "", *, retry_after_seconds: int | None = None, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(AppError):
    """A part of the service is away for the moment."""

    def __init__(self, detail: str = "", *, retry_after_seconds: int = 2, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after_seconds = retry_after_seconds


def leaves(cls: type[AppError] = AppError) -> list[type[AppError]]:
    """Return every subclass of `cls` that carries a code, in the order of definition."""
    found = [cls] if "code" in vars(cls) else []
    for child in cls.__subclasses__():
        found.extend(leaves(child))
    return found
