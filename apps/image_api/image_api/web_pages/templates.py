"""Templates of pages: Jinja2 that escapes everything and accepts no undefined name."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastapi.responses import HTMLResponse

from image_api.web_pages.static_files import StaticFiles

if TYPE_CHECKING:
    from jinja2 import Environment

_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    # With `no-referrer`, forms would send `Origin: null`.
    "referrer-policy": "same-origin",
}


class Templates:
    """The templates in the folder `templates` of a package. Jinja2 is imported with the first page.

    Templates can call `static("style.css")` for the path of a static file.
    """

    def __init__(self, package: str, static_files: StaticFiles) -> None:
        self._package, self._static_files = package, static_files

    @cached_property
    def environment(self) -> "Environment":
        """The environment, to which features may add filters."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader(self._package, "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals["static"] = self._static_files.url
        return environment

    def page(
        self,
        template: str,
        values: Mapping[str, Any],
        *,
        policy: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """Return a page that no cache stores.

        Args:
            template: name of the file.
            values: what the template reads.
            policy: from `content_security_policy`.
            status: of the response.
            headers: further ones, or others in place of the usual ones; their names in lower case.
        """
        html = self.environment.get_template(template).render(values)
        return HTMLResponse(html, status, {**_HEADERS, "content-security-policy": policy, **(headers or {})})
