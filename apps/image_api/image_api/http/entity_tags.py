"""ETags of single resources, and the preconditions that callers may set on them."""

from image_core import errors


def entity_tag(revision: int) -> str:
    """Return the strong ETag of a row at this revision."""
    return f'"{revision}"'


def check_if_match(if_match: str | None, revision: int) -> None:
    """Check that the caller's copy is current.

    Raises:
        errors.ETagMismatch: The resource has changed since it was read.
    """
    if if_match is None or if_match.strip() == "*":
        return
    if entity_tag(revision) not in [tag.strip() for tag in if_match.split(",")]:
        raise errors.ETagMismatch(
            "The resource has changed since it was read. Read it again and repeat the change.",
            etag=entity_tag(revision),
        )
