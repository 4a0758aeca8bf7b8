"""The version that an edit began from, which its form sends back."""

from image_api.console.forms import Form
from image_api.http.entity_tags import entity_tag

_NO_VERSION = "none"


def version_seen(form: Form) -> str:
    """Return the ETag of the version that a form began from; one that nothing has if the form does not say."""
    text = form.get("revision")
    return entity_tag(int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else _NO_VERSION
