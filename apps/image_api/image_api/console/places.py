"""Addresses within the console: where to go on after signing in, and the one host name that has the cookie."""

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from image_api.console.policy import HOME

SIGN_IN = f"{HOME}/sign-in"
_PATH = re.compile(rf"{HOME}(?:/[A-Za-z0-9_-]+)*", re.ASCII)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_LENGTH = 2000


def local_path(address: str) -> str:
    """Return an address that a request named, if it is a path below `/console`, else the console's first page.

    The result is built anew from the parts, so it leads nowhere else, however a browser reads the original.
    """
    try:
        parts = urlsplit(address[:_MAX_LENGTH])
    except ValueError:
        return HOME
    if parts.scheme or parts.netloc or not _PATH.fullmatch(parts.path):
        return HOME
    query = urlencode(parse_qsl(parts.query))
    return f"{parts.path}?{query}" if query else parts.path


def sign_in_path(address: str) -> str:
    """Return the path of the page that signs in and then leads back to `address`."""
    back = local_path(address)
    return SIGN_IN if back == HOME else f"{SIGN_IN}?next={quote(back, safe='')}"


def named_host(host: str, base_url: str) -> str | None:
    """Return the base URL if `host` is another name of the same port on this machine; None if it needs no redirect.

    A browser has the session's cookie for one name only. Over HTTPS a name is not interchangeable.
    """
    if not base_url.startswith("http:") or host == (known := urlsplit(base_url)).netloc:
        return None
    try:
        asked = urlsplit(f"//{host}")
        is_same = {asked.hostname, known.hostname} <= _LOOPBACK and (asked.port or 80) == (known.port or 80)
    except ValueError:
        return None
    return base_url if is_same else None
