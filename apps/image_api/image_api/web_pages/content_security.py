"""Content-Security-Policy of pages: nothing loads but what a page names."""

from collections.abc import Sequence

_NOTHING = ("'none'",)
_CLOSED: dict[str, Sequence[str]] = {
    "default_src": _NOTHING,
    "base_uri": _NOTHING,
    "form_action": _NOTHING,
    "frame_ancestors": _NOTHING,
}
SELF = "'self'"


def content_security_policy(**sources: Sequence[str]) -> str:
    """Return a policy that allows these sources by directive, such as `img_src=(SELF, "https://pictures.test/i/")`.

    What is not named is forbidden, including `base-uri`, `form-action` and `frame-ancestors`, which `default-src` does
    not cover. A source that ends with a slash allows every path below it.
    """
    directives = _CLOSED | sources
    return "; ".join(" ".join((name.replace("_", "-"), *allowed)) for name, allowed in directives.items())
