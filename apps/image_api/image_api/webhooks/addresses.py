"""Which URLs webhooks may be sent to."""

from image_api.fetching.public_addresses import is_allowed, is_public
from image_api.fetching.source_url import PORTS, SourceUrl, parse
from image_core import errors
from image_core.settings import WebhookSettings


def check_url(url: str, settings: WebhookSettings) -> SourceUrl:
    """Parse the URL of an endpoint. The addresses of a name are checked at each attempt.

    Raises:
        errors.SourceRefused: Webhooks are not sent to such a URL.
    """
    source = parse(url)
    if source.scheme != "https" and not settings.webhook_allow_http:
        raise errors.SourceRefused("URL scheme not allowed. Use https://.")
    # Other ports are for a receiver on one's own machine.
    if source.port != PORTS["https"] and not settings.webhook_allow_addresses:
        raise errors.SourceRefused("Port not allowed: webhooks are sent to port 443.")
    allowed = settings.webhook_allow_addresses
    is_inside = source.host.rpartition(".")[2] == "localhost" and not allowed
    if source.address is not None:
        is_inside = not (is_public(source.address) or is_allowed(source.address, allowed))
    if is_inside:
        raise errors.SourceRefused("Address not allowed: the URL's host is not public.")
    return source


def host_of(url: str) -> str:
    """Return the host of a URL, which is all that logs and the audit log may have of it."""
    return parse(url).host
