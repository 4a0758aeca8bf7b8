"""Names of files: one rule for every input and output, in whatever encoding they arrive."""

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header as decode_words
from urllib.parse import quote, unquote_to_bytes

MAX_LENGTH = 255
_MAX_EXTENSION = 16
# Controls, line and paragraph separators, lone surrogates, and bidirectional overrides. Joiners stay: Persian, Hindi
# and families of emoji are spelled with them.
_REMOVED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PARAMETER = re.compile(r"(?:^|;)\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(\"(?:\\.|[^\"\\])*\"|[^;]*)", re.DOTALL)
# Encodings that are recognised by their name. Python knows more, but some of them are slow on crafted input.
_CHARSET = re.compile(
    r"(iso-8859-\d+|windows-125\d|koi8-[ru]|gb\w+|big5|shift_jis|euc-(jp|kr)|iso-2022-jp)", re.IGNORECASE
)
_ENCODED_WORDS = re.compile(r"(=\?[\w-]+\?[bBqQ]\?[^?\s]*\?=\s*)+", re.ASCII)
_EXTENDED = re.compile(r"([^']*)'[^']*'(.*)", re.DOTALL)
_ZERO_WIDTH_JOINER = "\u200d"


def clean(name: str) -> str | None:
    """Return a name as it is stored: the last part of a path, without controls, shortened; None if nothing is left."""
    name = _REMOVED.sub("", name.replace("\\", "/").rpartition("/")[2])
    if not name.strip() or name in (".", ".."):
        return None
    return name if len(name) <= MAX_LENGTH else _shortened(name)


def normalize(text: str) -> str:
    """Return the Unicode normalization form in which texts are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def normal_forms(text: str) -> list[str]:
    """Return the forms in which a text may have been stored: unchanged, composed and decomposed."""
    if text.isascii():
        return [text]
    return list(dict.fromkeys((text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))))


def decode(raw: bytes) -> str:
    """Decode bytes of an unknown encoding: UTF-8, else the encoding of old Windows clients."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        # A superset of Latin-1 apart from control characters, five of which it leaves undefined.
        return raw.decode("cp1252", "replace")


def decode_header(value: str) -> str:
    """Return the text of a header that was read as Latin-1, as HTTP servers read headers."""
    return decode(value.encode("latin-1", "replace"))


def from_disposition(value: str) -> str | None:
    """Return the clean name in a Content-Disposition that was read as Latin-1, preferably from `filename*`.

    Source: RFC 6266, section 4.3; RFC 8187, section 3.2; for `filename` in a form, the URL Standard's %22.
    """
    parameters = {match[1].lower(): match[2].strip() for match in reversed(list(_PARAMETER.finditer(value)))}
    extended = _EXTENDED.fullmatch(parameters.get("filename*", "").strip('"'))
    if extended and (name := clean(_percent_decoded(extended[1], extended[2]))):
        return name
    return clean(_without_encoded_words(decode_header(_unquoted(parameters.get("filename", "")))))


def to_disposition(name: str, *, attachment: bool = False) -> str:
    """Return the Content-Disposition that shows or saves a file under this name, for old clients in ASCII too."""
    name = clean(name) or "image"
    plain = unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode() if not name.isascii() else name
    if not plain.rpartition(".")[0].strip() and not name.startswith("."):
        # Nothing was left before the extension.
        plain = "image" + plain
    plain = re.sub(r'["\\%]', "_", plain)
    kind = "attachment" if attachment else "inline"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _percent_decoded(charset: str, text: str) -> str:
    return _decoded(unquote_to_bytes(text.encode("latin-1", "replace")), charset)


def _decoded(raw: bytes, charset: str) -> str:
    if _CHARSET.fullmatch(charset):
        try:
            return raw.decode(charset)
        except (LookupError, UnicodeDecodeError):
            pass
    return decode(raw)


def _without_encoded_words(name: str) -> str:
    """Return a name without the RFC 2047 encoding that some mail libraries add to headers. Source: RFC 2047."""
    if not _ENCODED_WORDS.fullmatch(name):
        return name
    try:
        words = decode_words(name)
    except HeaderParseError:
        return name
    return "".join(word if isinstance(word, str) else _decoded(word, charset or "") for word, charset in words) or name


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    value = value[1:-1]
    if re.match(r"[A-Za-z]:\\|\\\\", value):
        # A whole path, as very old browsers on Windows send it, without escapes.
        return value
    value = re.sub(r'\\(["\\])', r"\1", value)
    return re.sub("%(22|0D|0A)", lambda match: chr(int(match[1], 16)), value, flags=re.IGNORECASE)


def _shortened(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > _MAX_EXTENSION:
        stem, dot, extension = name, "", ""
    end = MAX_LENGTH - len(dot + extension)
    while end > 1 and _splits_cluster(stem, end):
        end -= 1
    return stem[:end] + dot + extension


def _splits_cluster(text: str, at: int) -> bool:
    """Return whether a cut before this character would split a grapheme cluster.

    Source: Unicode Standard Annex 29, section 3.1, without the rules for Hangul jamo.
    """
    before, after = text[at - 1], text[at]
    if _ZERO_WIDTH_JOINER in (before, after) or unicodedata.category(after).startswith("M"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return True
    # Flags are pairs of letters.
    letters = len(text[:at]) - len(text[:at].rstrip(_FLAG_LETTERS))
    return after in _FLAG_LETTERS and letters % 2 == 1


_FLAG_LETTERS = "".join(chr(code) for code in range(0x1F1E6, 0x1F200))
