"""Finds what narrows a query, by the syntax of the code alone: its conditions, and its bounds.

A condition is replaced by one that always holds, so that the statement stays valid whatever stood beside it.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).parents[2]
_HOLDS = '__import__("sqlalchemy").true()'
_BUILDS_QUERIES = re.compile(r"^from sqlalchemy import|^import sqlalchemy", re.MULTILINE)
# What builds no query of a service: tables, migrations, commands of an operator, and what tests are made of.
_OUTSIDE = {"models", "migrations", "tests", "testing.py", "admin.py"}
_BOUND = re.compile(
    r"expires|lease|deadline|attempts|_bytes|retention|remove_after|blocked_until|_at [<>]|func\.now\(\)"
)
_KEY = re.compile(r"[\w.]+\.c\.(id|\w+_id) == [\w.\[\]()'\"]+")


class Kind(StrEnum):
    """What a condition is for. A guard is what is none of the others, most often of a state; a key names the row."""

    TEAM = "team"
    GUARD = "guard"
    BOUND = "bound"
    LIMIT = "limit"
    KEY = "key"


@dataclass(frozen=True)
class Mutation:
    """One removal: where it stands in a file, and what is put in its place."""

    path: str
    line: int
    function: str
    kind: Kind
    removed: str
    start: int
    end: int
    replacement: str

    def applied(self, source: bytes) -> bytes:
        """Return the file without what is removed."""
        return source[: self.start] + self.replacement.encode() + source[self.end :]

    def key(self, source: bytes) -> str:
        """Return what identifies the removal for as long as the file is unchanged."""
        return f"{self.path}:{self.start}:{self.end}:{hashlib.sha256(source).hexdigest()[:16]}"


def query_modules(root: Path) -> list[Path]:
    """Return every file of a package or app that builds queries with SQLAlchemy."""
    return sorted(
        path
        for folder in ("packages", "apps")
        for path in (root / folder).glob("*/*/**/*.py")
        if not _OUTSIDE & set(path.relative_to(root).parts) and _BUILDS_QUERIES.search(path.read_text())
    )


def mutations_of(path: Path, root: Path = ROOT) -> list[Mutation]:
    """Return everything that can be removed from the queries of a file, in its order."""
    found = {(each.start, each.end): each for each in _Finder(path.read_bytes(), str(path.relative_to(root))).all()}
    return [found[span] for span in sorted(found)]


class _Finder:
    def __init__(self, source: bytes, path: str) -> None:
        self._source, self._path = source, path
        self._tree = ast.parse(source)
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._tuples = {
            node.targets[0].id: node.value
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Tuple)
            and isinstance(node.targets[0], ast.Name)
        }
        self._takes_conditions = {
            node.name: _condition_parameters(node) for node in self._tree.body if isinstance(node, ast.FunctionDef)
        }

    def all(self) -> Iterator[Mutation]:
        for top in self._tree.body:
            name = getattr(top, "name", None) or (ast.unparse(top.targets[0]) if isinstance(top, ast.Assign) else "")
            for node in ast.walk(top):
                if isinstance(node, ast.Call):
                    yield from self._in_call(name, node)
                elif isinstance(node, ast.AnnAssign) and "ColumnElement[bool]]" in ast.unparse(node.annotation):
                    yield from self._in_table(node)

    def _in_call(self, name: str, call: ast.Call) -> Iterator[Mutation]:
        called = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
        if called in {"where", "and_", "having"}:
            for argument in call.args:
                yield from self._condition(name, argument)
        elif called in self._takes_conditions and (taken := self._takes_conditions[called]):
            for position, argument in enumerate(call.args):
                if position in taken or -1 in taken:
                    yield from self._condition(name, argument)
        elif called == "limit" and isinstance(call.func, ast.Attribute):
            yield self._mutation(name, call, Kind.LIMIT, f".limit({ast.unparse(call.args[0])})", call.func.value)
        elif called in {"least", "greatest"} and len(call.args) == 2:
            yield self._mutation(name, call, Kind.BOUND, ast.unparse(call), call.args[0])
        for keyword in call.keywords:
            if keyword.arg == "where" and called == "on_conflict_do_update":
                yield from self._condition(name, keyword.value)

    def _condition(self, name: str, node: ast.expr) -> Iterator[Mutation]:
        if isinstance(node, ast.Starred):
            if isinstance(node.value, ast.Name) and node.value.id in self._tuples:
                for element in self._tuples[node.value.id].elts:
                    yield from self._condition(node.value.id, element)
            else:
                yield self._mutation(name, node, Kind.GUARD, ast.unparse(node), "*()")
        elif not (isinstance(node, ast.Call) and ast.unparse(node.func) == "and_"):
            yield self._mutation(name, node, _kind_of(ast.unparse(node)), ast.unparse(node), _HOLDS)

    def _in_table(self, table: ast.AnnAssign) -> Iterator[Mutation]:
        """Find the conditions that stand in a dictionary by name."""
        for node in ast.walk(table):
            if isinstance(node, ast.Dict):
                values = [value for key, value in zip(node.keys, node.values, strict=True) if key is not None]
            elif isinstance(node, ast.DictComp):
                values = [node.value]
            else:
                continue
            for value in values:
                yield from self._condition(ast.unparse(table.target), value)

    def _mutation(self, name: str, node: ast.expr, kind: Kind, removed: str, left: str | ast.expr) -> Mutation:
        start, end = self._span(node)
        if isinstance(left, ast.expr):
            inner = self._span(left)
            left = self._source[inner[0] : inner[1]].decode()
        return Mutation(self._path, node.lineno, name, kind, removed, start, end, left)

    def _span(self, node: ast.expr) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or 0, node.end_col_offset or 0
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[end_line - 1] + end_column


def _condition_parameters(function: ast.FunctionDef) -> set[int]:
    """Return the positions at which a function takes conditions; -1 stands for any number of them."""
    arguments = function.args
    found = {
        position
        for position, argument in enumerate(arguments.args)
        if argument.annotation is not None and ast.unparse(argument.annotation) == "ColumnElement[bool]"
    }
    any_number = arguments.vararg
    if any_number is not None and any_number.annotation is not None:
        found |= {-1} if ast.unparse(any_number.annotation) == "ColumnElement[bool]" else set()
    return found


def _kind_of(condition: str) -> Kind:
    if re.search(r"team_id|owner_id|_visible", condition):
        return Kind.TEAM
    if _BOUND.search(condition):
        return Kind.BOUND
    return Kind.KEY if _KEY.fullmatch(condition) else Kind.GUARD
