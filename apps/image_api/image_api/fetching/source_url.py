"""Strict parsing of a caller's URL, once, so that no later component can interpret it differently."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from image_api.fetching.public_addresses import Address
from image_core import errors
from image_core.images import filenames

PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:@%]+))(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_KEPT = "/%:@!$&'()*+,;=~?-._"


@dataclass(frozen=True)
class SourceUrl:
    """Scheme, host, port and target, ready to be sent; `address` is set if the host is an address."""

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None = None

    @property
    def filename(self) -> str | None:
        """The last part of the path, as a suggested filename."""
        return filenames.clean(filenames.decode(unquote_to_bytes(self.target.partition("?")[0])))

    def redirected_to(self, location: str) -> "SourceUrl":
        """Return the URL that a redirect points to, checked like the first.

        Raises:
            errors.SourceRefused: The source's URL may not be fetched.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        try:
            url = urljoin(f"{self.scheme}://{host}:{self.port}{self.target}", location)
        except ValueError as error:
            raise errors.SourceRefused("The source redirects to an invalid URL.") from error
        return parse(url)


def parse(url: str) -> SourceUrl:
    """Parse a URL.

    Raises:
        errors.SourceRefused: The source's URL may not be fetched.
    """
    # Parsers disagree about these: some drop them, some treat a backslash as the end of the host.
    if not url.isprintable() or " " in url or "\\" in url:
        raise errors.SourceRefused("The URL contains spaces, control characters or backslashes. Percent-encode them.")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise errors.SourceRefused("The URL is not valid.") from error
    if parts.scheme not in PORTS:
        raise errors.SourceRefused("URL scheme not allowed. Use http:// or https://.")
    if "@" in parts.netloc:
        raise errors.SourceRefused("The URL contains a user name or password. Remove them.")
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if authority is None:
        raise errors.SourceRefused("The URL's host is not valid.")
    port = int(authority["port"] or PORTS[parts.scheme])
    if not 0 < port < 65536:
        raise errors.SourceRefused("The URL's port is not valid.")
    host, address = _ipv6(authority["ipv6"]) if authority["ipv6"] else _name_or_ipv4(authority["name"])
    target = quote(parts.path, safe=_KEPT) or "/"
    if parts.query:
        target += "?" + quote(parts.query, safe=_KEPT)
    return SourceUrl(parts.scheme, host, port, target, address)


def _ipv6(text: str) -> tuple[str, Address]:
    try:
        address = IPv6Address(text)
    except ValueError as error:
        raise errors.SourceRefused("The URL's host is not a valid IPv6 address.") from error
    return str(address), address


def _name_or_ipv4(text: str) -> tuple[str, Address | None]:
    host = text.lower() if text.isascii() else _to_ascii(text)
    labels = host.removesuffix(".").split(".")
    # Source: WHATWG URL, "ends in a number checker". Resolvers read such hosts as octal, hex or short addresses.
    if _NUMBER.fullmatch(labels[-1]):
        try:
            address = IPv4Address(host)
        except ValueError as error:
            raise errors.SourceRefused(
                "The URL's host is not a valid IPv4 address. Write it as four decimal numbers."
            ) from error
        return host, address
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise errors.SourceRefused("The URL's host is not a valid name.")
    return ".".join(labels), None


def _to_ascii(host: str) -> str:
    # Its tables are large, and hardly any host needs them.
    import idna

    try:
        # As browsers do: full-width digits and dots become ASCII and are checked afterwards.
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise errors.SourceRefused("The URL's host is not a valid internationalized domain name.") from error
