"""Protects the emulators from web pages, because they serve every local client without credentials.

A browser may send a page's requests to this machine: with the page's own site as the host, if that name resolves to
this machine (DNS rebinding), or across sites, which the browser declares in a header.
Source: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from local_cloud.object_store.api.cors import is_foreign_page, is_session, starts_session
from local_cloud.object_store.api.http import Request
from local_cloud.object_store.errors import forbidden
from local_cloud.object_store.signing import is_signed

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_own_path(path: str) -> bool:
    """Return whether a path is the process's own, and not a bucket's."""
    return path == "/certs" or path.startswith(("/_local/", "/health/"))


class WebGuard:
    """Accepts requests that name this process and do not come from another site's page."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = {host.lower() for host in (*hosts, *LOOPBACK)}

    def check(self, request: Request) -> None:
        """Check that no other site's web page has sent a request. Only browsers send the headers that are checked.

        Raises:
            StoreError: The host is not this process, or the page is another site's.
        """
        host = request.headers.get("host")
        if host is not None and _name_of(host) not in self._hosts:
            raise forbidden(
                "AccessDenied",
                f"This server is not {host}. It answers as {', '.join(sorted(self._hosts))}; "
                "EMULATORS_HOSTS adds a name.",
            )
        if is_foreign_page(request) and not _permits_itself(request):
            raise forbidden("AccessDenied", "Pages of other sites may use signed URLs and upload sessions only.")


def _permits_itself(request: Request) -> bool:
    """Return whether the URL itself is a secret permission; the object store checks it."""
    if is_own_path(request.path):
        return False
    # A server that starts a session for a page names the page's origin, and is not a browser.
    return is_signed(request) or is_session(request) or starts_session(request)


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
