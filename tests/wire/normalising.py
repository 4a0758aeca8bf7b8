"""Placeholders for what differs from run to run, the same value under the same placeholder."""

import re
from functools import partial
from typing import Any

_KEY = r"\bim_[0-9A-Za-z]{8}(?:_[0-9A-Za-z]{32})?\b"
_ID = r"\b(?!00000000-)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
_REQUEST = r"\b[0-9a-f]{32}\b"
_GENERATION = r"\b1[789]\d{14}\b"
_NUMBERED = {"key": _KEY, "id": _ID, "request": _REQUEST, "generation": _GENERATION}
# Times of the clock have a fraction, those that requests send have none.
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}?)0*(?:Z|\+00:00)")
_HTTP_DATE = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
_LOCAL = re.compile(r"127\.0\.0\.1:\d+")
_COOKIE = re.compile(r"\bim_session_\d+")
_PASSWORD_HASH = re.compile(r"(\$argon2id\$[^$]+\$[^$]+)\$[^$]+\$[^$\"]+")
_RATE = re.compile(r"\b([rt])=\d+")
_WORDS = {"detail", "message", "failure_message"}
_SECRETS = {"token": "token", "csrf_token": "csrf-token", "next_cursor": "cursor"}
# Hashes of random values and of generations, tokens that are equal within a second, what a background task notes at
# times of its own, the start of the next month, the revision of an image in a stored answer, which tells who came first
# (see `rows`), and times of one statement that PostgreSQL takes from the clock twice.
_RANDOM = {
    "key_hash", "previous_key_hash", "token_hash", "fingerprint", "access_token", "next_refill_at", "last_use", "etag",
    "last_used_at", "last_used_address", "last_used_agent", "previous_last_used_at", "previous_last_used_address",
    "previous_last_used_agent", "blocked_until", "last_failed_at", "delivery_tag",
}  # fmt: skip
# What is computed from pixels differs in its last digits with the vector instructions of a machine.
_OF_PIXELS = {"blurhash", "perceptual_hash", "hash", "vector", "colors", "result"}
_OF_ENCODED_BYTES = {"size_bytes", "sha256"}
# Other databases of the server take ids as well.
_OF_A_TRANSACTION = {"xact", "position"}
# Whether these are one moment depends on whether the upload or the processor came first.
_OF_A_RACE = {"stored_at", "queued_at", "ready_at", "updated_at"}


def shape(value: Any) -> Any:
    """Return the names within a value, and the kinds of what they stand for."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return f"<{type(value).__name__}>"


def without_port(text: str) -> str:
    """Return a text in which the name of the session cookie does not contain the port of this run."""
    return _COOKIE.sub("im_session_<port>", text)


class Placeholders:
    """Names of values, given in the order of their first appearance."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self.words: list[str] = []
        """Texts for people met since this list was last emptied; they are recorded apart."""

    def name(self, value: str, name: str) -> None:
        """Give a value its name; an API key's prefix gets one too."""
        self._names.setdefault(value, f"<{name}>")
        if re.fullmatch(_KEY, value) and len(value) > 11:
            self._names.setdefault(value[:11], f"<{name} prefix>")

    def _replaced(self, kind: str, masked: bool, found: re.Match[str]) -> str:
        return f"<{kind}>" if masked else self._numbered(found[0], kind)

    def _numbered(self, value: str, kind: str) -> str:
        if value not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self.name(value, f"{kind}-{self._counts[kind]}")
        return self._names[value]

    def text(self, text: str, times: dict[str, str] | None = None, *, masked: bool = False) -> str:
        """Replace every value that differs; equal times share a placeholder within one record.

        `masked` gives values without a name no number, so that records can be put in order by what else they say.
        """
        times = {} if times is None else times
        for value in sorted((each for each in self._names if each in text), key=len, reverse=True):
            text = re.sub(rf"(?<![0-9A-Za-z_<]){re.escape(value)}(?![0-9A-Za-z>])", self._names[value], text)
        for kind, pattern in _NUMBERED.items():
            text = re.sub(pattern, partial(self._replaced, kind, masked), text)
        text = _TIME.sub(lambda m: "<time>" if masked else times.setdefault(m[1], f"<time-{len(times) + 1}>"), text)
        text = without_port(text)
        text = _PASSWORD_HASH.sub(r"\1$<salt>$<hash>", text)
        return _RATE.sub(r"\1=<n>", _LOCAL.sub("<host>", _HTTP_DATE.sub("<http-date>", text)))

    def value(self, value: Any, times: dict[str, str], *, masked: bool = False) -> Any:
        """Do the same to every text within a JSON value, and set texts for people aside."""
        if isinstance(value, dict):
            hidden = _OF_PIXELS | (_OF_ENCODED_BYTES if "preset" in value else set())
            hidden = hidden | (_OF_A_RACE if "ready_at" in value else set())
            hidden = hidden | (_OF_A_TRANSACTION if "xact" in value else set())
            return {
                self.text(name, times, masked=masked): shape(each)
                if name in hidden
                else self._member(name, each, times, masked)
                for name, each in value.items()
            }
        if isinstance(value, float):
            return "<float>"
        if isinstance(value, list):
            return [self.value(each, times, masked=masked) for each in value]
        if isinstance(value, int) and re.fullmatch(_GENERATION, str(value)):
            return self.text(str(value), times, masked=masked)
        return self.text(value, times, masked=masked) if isinstance(value, str) else value

    def _member(self, name: str, value: Any, times: dict[str, str], masked: bool) -> Any:
        if name in _RANDOM and (value is not None or "last_use" in name):
            return f"<{name}>"
        if name == "spec_hash":
            # It has the form of a request's ID, but is the same in every run.
            return value
        if name in _SECRETS and isinstance(value, str):
            return self._numbered(value, _SECRETS[name])
        if name in {"public_id", "previous_public_id"} and value:
            return self.text(f"im_{value}", times, masked=masked)
        if name in _WORDS and isinstance(value, str):
            if not masked:
                self.words.append(self.text(value, times))
            return "<words>"
        return self.value(value, times, masked=masked)
