"""The names of filters on metadata and results, in the notations that clients use for objects in query strings."""

import re
from collections.abc import Iterable

OBJECTS = ("meta", "analysis")
PREFIXES = tuple(f"{name}{sign}" for name in OBJECTS for sign in ".[")
_BRACKET = re.compile(rf"({'|'.join(OBJECTS)})\[")


def dotted(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return `meta[age[gte]]` and `meta[age][gte]` as `meta.age[gte]`, and other names unchanged.

    Generated clients write the former if the key of an object is `age[gte]`, query string libraries the latter.
    Malformed names become filters that are rejected later.
    """
    return [(_dotted(name), value) for name, value in items]


def _dotted(name: str) -> str:
    found = _BRACKET.match(name)
    if found is None:
        return name
    outer, *inner = [found[1], *name[found.end() :].removesuffix("]").split("][")]
    # An analyzer and its field are two levels of a nested object, or one level with a dot.
    levels = 2 if outer == "analysis" and "." not in inner[0] else 1
    operator = "".join(f"[{key}]" for key in inner[levels:])
    return ".".join([outer, *inner[:levels]]) + operator
