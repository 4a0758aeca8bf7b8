"""Make text from a file fit to be stored and shown."""

MAX_TEXT_LENGTH = 200


def clean_text(value: bytes | str) -> str | None:
    """Give one bounded line without NUL or control characters; None when nothing is left.

    PostgreSQL's jsonb refuses NUL, and pages and logs should not meet control characters from a stranger's file.
    """
    text = _decode(value) if isinstance(value, bytes) else value
    line = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(line.split())[:MAX_TEXT_LENGTH].rstrip() or None


def _decode(value: bytes) -> str:
    content = value.split(b"\x00", 1)[0]
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
