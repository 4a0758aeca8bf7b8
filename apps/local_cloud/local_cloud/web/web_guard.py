"""Keeps web pages away from the emulators, which answer whoever asks and hold everybody's pictures.

A browser sends a page's requests to this machine too: with the name of the page's own site as the host, if that name
was made to lead here (DNS rebinding), or across sites, for which it says so itself.
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
    """Whether a path is the process's own, and no bucket's."""
    return path == "/certs" or path.startswith(("/_local/", "/health/"))


class WebGuard:
    """Lets requests through that name this process and come from no page but its own."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = {host.lower() for host in (*hosts, *LOOPBACK)}

    def check(self, request: Request) -> None:
        """Refuse what a web page may have sent. Whoever has no browser sends nothing of what is looked at here.

        Raises:
            StoreError: the host is not this process, or the page is another site's.
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
    """Whether the address carries a permission that no other page can know; the object store checks it."""
    if is_own_path(request.path):
        return False
    # A server that starts a session for a page names the page's origin, and is no browser.
    return is_signed(request) or is_session(request) or starts_session(request)


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
