"""Filters of Cloud Logging, as far as the configuration uses them, evaluated on one line of a log.

Source: Google Cloud documentation, "Logging query language": OR binds closer than AND, `:` looks for a part of a
text, `=~` for a regular expression of RE2 anywhere in it, and a field that a line does not have matches nothing.
"""

import operator
import re
from collections.abc import Callable
from typing import Any

Entry = dict[str, Any]
Matches = Callable[[Entry], bool]
_TOKEN = re.compile(r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<sign>=~|>=|<=|!=|[()=:<>])|(?P<word>[^\s()=:<>!"]+))')
_SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
_ORDERS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def matches(text: str, entry: Entry) -> bool:
    """Whether a filter takes a line. Raises `ValueError` for what is no filter."""
    parser = _Parser(text)
    found = parser.both()
    if parser.left:
        raise ValueError(f"left over: {parser.left}")
    return found(entry)


class _Parser:
    def __init__(self, text: str) -> None:
        self.left: list[str] = []
        position = 0
        while position < len(text.rstrip()):
            token = _TOKEN.match(text, position)
            if token is None:
                raise ValueError(f"no filter: {text[position:]}")
            self.left.append(token[0].strip())
            position = token.end()
        self._join_quoted_fields()

    def _join_quoted_fields(self) -> None:
        """A path may hold quoted parts: `jsonPayload."@type"`."""
        for index in range(len(self.left) - 1, 0, -1):
            if self.left[index - 1].endswith(".") and self.left[index].startswith('"'):
                self.left[index - 1] += self.left.pop(index)

    def both(self) -> Matches:
        parts = [self.either()]
        while self.left and self.left[0] != ")":
            self._take("AND")
            parts.append(self.either())
        return lambda entry: all(part(entry) for part in parts)

    def either(self) -> Matches:
        parts = [self.term()]
        while self._take("OR"):
            parts.append(self.term())
        return lambda entry: any(part(entry) for part in parts)

    def term(self) -> Matches:
        if self._take("NOT"):
            denied = self.term()
            return lambda entry: not denied(entry)
        if self._take("("):
            inner = self.both()
            self._expect(")")
            return inner
        path, sign = _path(self.left.pop(0)), self.left.pop(0)
        values = self._values()
        return lambda entry: any(_compares(_value(entry, path), sign, value) for value in values)

    def _values(self) -> list[str]:
        if not self._take("("):
            return [self.left.pop(0).strip('"')]
        values = [self.left.pop(0).strip('"')]
        while self._take("OR"):
            values.append(self.left.pop(0).strip('"'))
        self._expect(")")
        return values

    def _take(self, word: str) -> bool:
        if self.left[:1] != [word]:
            return False
        self.left.pop(0)
        return True

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise ValueError(f"{word} is missing before {self.left}")


def _path(text: str) -> list[str]:
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]+)"|([^."]+)', text)]


def _value(entry: Entry, path: list[str]) -> Any:
    value: Any = entry
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _compares(found: Any, sign: str, expected: str) -> bool:
    if found is None:
        return False
    if sign == "=":
        return str(found) == expected
    if sign == "=~":
        return re.search(expected, str(found)) is not None
    if sign == ":":
        return expected.lower() in str(found).lower()
    if sign not in _ORDERS:
        raise ValueError(f"no comparison: {sign}")
    if found in _SEVERITIES:
        return bool(_ORDERS[sign](_SEVERITIES.index(found), _SEVERITIES.index(expected)))
    return bool(_ORDERS[sign](float(found), float(expected)))
