"""Reads statements for the rule that rows of a team are reached under that team alone.

A table with a team column is tied to a team if that column is compared with a value, or if a key joins the table to one
that is tied. A subquery may lean on the tables around it. Admins see every team, so what runs for one is looked at only
where it was given a team. Housekeeping works on every team: its statements need no value, but whatever they reach must
be of one team.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from itertools import chain
from types import FrameType
from typing import Any

from sqlalchemy import BindParameter, ClauseElement, Column, FromClause, Table
from sqlalchemy.sql import operators
from sqlalchemy.sql.dml import Delete, Insert, Update
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, ColumnClause, Grouping
from sqlalchemy.sql.selectable import AliasedReturnsRows, CompoundSelect, Join, ScalarSelect, Select

from image_api.actor import Actor, Role
from image_core import db, models
from image_core.db import Query

# Nobody reads these by an id of a row.
TEAM_TABLES = {table for table in models.metadata.tables.values() if "team_id" in table.c} - {
    models.audit_event,
    models.event,
}
_LOCKED = "the row was found, or locked, under the caller's team"
_OWN_ROW = "the row is the request's own"
_PROVEN = "whoever asks has a secret that this row, or a row of this user, holds"
_OWN_USER = "the user is the caller, or was found under the caller's team"
_COUNTS = "an admin sees the number"
_CLAIMED = "the delivery was claimed, or its endpoint with it, whatever its team"
ANY_TEAM = {
    "image_api.credentials.queries:find": _OWN_USER,
    "image_api.credentials.queries:lock": _OWN_USER,
    "image_api.credentials.queries:lock_live": _OWN_USER,
    "image_api.credentials.queries:live": _OWN_USER,
    "image_api.credentials.queries:page": _OWN_USER,
    "image_api.credentials.queries:lock_by_public_id": _PROVEN,
    "image_api.dead_letters.queries:count_open": _COUNTS,
    "image_api.direct_uploads.queries:await_bytes": _OWN_ROW,
    "image_api.direct_uploads.service:_expire": _LOCKED,
    "image_api.images.queries:change": _LOCKED,
    "image_api.images.service:retry_processing": _LOCKED,
    "image_api.images.service:trash": _LOCKED,
    "image_api.links.viewing:find_open_link": _PROVEN,
    "image_api.operations.claims:creator": "the user is who asked for the operation",
    "image_api.people.queries:accept_invitation": _PROVEN,
    "image_api.people.queries:find_by_email": _PROVEN,
    "image_api.people.queries:find_invitation": _PROVEN,
    "image_api.people.queries:find_user": _OWN_USER,
    "image_api.people.queries:has_signed_in_from": _PROVEN,
    "image_api.people.queries:lock_verified": _PROVEN,
    "image_api.people.queries:replace_hash": _PROVEN,
    "image_api.people.queries:set_password": _PROVEN,
    "image_api.people.queries:user_of_reset": _PROVEN,
    "image_api.proofs.key_cache:KeyCache._load": _PROVEN,
    "image_api.proofs.session_cache:SessionCache._load": _PROVEN,
    "image_api.proofs.upload_tokens:authenticate_upload_token": _PROVEN,
    "image_api.proofs.still_valid:_recheck_key": _PROVEN,
    "image_api.proofs.still_valid:_recheck_session": _PROVEN,
    "image_api.reconcile.queries:rows_after": "an admin has the rows of all teams compared with storage",
    "image_api.share_pages.views:ViewCounts.flush": "the links were found by their tokens",
    "image_api.system_health.queries:count_exhausted": _COUNTS,
    "image_api.system_health.queries:count_stuck": _COUNTS,
    "image_api.tasks.queries:remove_oldest": "the rows are kept no longer, whatever their team",
    "image_api.uploads.queries:complete": _OWN_ROW,
    "image_api.uploads.queries:duplicate_of": _OWN_ROW,
    "image_api.uploads.service:_expire": _OWN_ROW,
    "image_api.users.queries:lock": _OWN_USER,
    "image_api.users.tasks:remove_user": "the user was marked for removal, and rows that name it are of its team",
    "image_api.users.queries:lock_active_admins": "admins belong to the platform",
    "image_api.webhooks.sending.queries:add_deliveries": "the endpoints were found under the teams of the events",
    "image_api.webhooks.sending.queries:claim": _CLAIMED,
    "image_api.webhooks.sending.queries:disable": _CLAIMED,
    "image_api.webhooks.sending.queries:end_exhausted": _CLAIMED,
    "image_api.webhooks.sending.queries:finish": _CLAIMED,
    "image_api.webhooks.sending.queries:lock_endpoint": _CLAIMED,
    "image_api.webhooks.sending.queries:note_failure": _CLAIMED,
    "image_api.webhooks.sending.queries:note_success": _CLAIMED,
    "image_api.webhooks.sending.queries:put_back": _CLAIMED,
    "image_core.billing.credits:_return_credits": _OWN_ROW,
    "image_core.billing.credits:_status_of": _OWN_ROW,
    "image_core.billing.credits:commit": _OWN_ROW,
}
"""Where a statement reaches rows whatever their team, and why that is right."""
_KEY = re.compile(r"(^|_)id(_[ab])?$")

_EQUALS = {operators.eq, operators.is_not_distinct_from}

Tie = tuple[FromClause, FromClause | None]
"""Two tables that a key joins, or a table whose team is a value."""


def untied(statement: Any, *, of_any_team: bool = False) -> set[str]:
    """Return the names of a statement's tables that have a team column and are not tied to a team.

    Where the statement may be of any team, all may be tied to one table instead.
    """
    found = _untied(statement)
    if of_any_team and found == set(_all_of_teams(statement)):
        found = min((_untied(statement, table) for table in found), key=len, default=found)
    return {table.name for table in found}


def _untied(statement: Any, *given: Table) -> set[Table]:
    return set(_Statement(statement, frozenset(given), frozenset()).untied())


def _all_of_teams(statement: Any) -> Iterator[Table]:
    yield from (table for table in _tables_of(statement) if isinstance(table, Table) and table in TEAM_TABLES)
    for part in _parts_of(statement):
        yield from _all_of_teams(part.element if isinstance(part, AliasedReturnsRows) else part)


class _Statement:
    """A statement, or a part of one, within those tables around it that are tied and those that are not."""

    def __init__(self, statement: Any, tied: frozenset[FromClause], around: frozenset[FromClause]) -> None:
        self._statement, self._given = statement, tied - around
        self._own = {table for table in _tables_of(statement) if table not in around}
        self._around = around | self._own
        ties = set(chain.from_iterable(_ties(condition) for condition in _conditions_of(statement)))
        self.tied = set(tied) | {table for table in self._own if _is_tied_inside(table)}
        pairs = [pair for a, b in ties for pair in ((a, b), (b, a))]
        while more := {a for a, b in pairs if a is not None and (b is None or b in self.tied)} - self.tied:
            self.tied |= more

    @property
    def leans_on_a_team(self) -> bool:
        return any(table in self.tied for table in self._own)

    def untied(self) -> Iterator[Table]:
        yield from (table for table in self._own if isinstance(table, Table) and table in TEAM_TABLES - self.tied)
        for part in _parts_of(self._statement):
            if isinstance(part, AliasedReturnsRows):
                yield from _Statement(part.element, self._given, frozenset({part})).untied()
            else:
                yield from _Statement(part, frozenset(self.tied), frozenset(self._around)).untied()


def _is_tied_inside(table: FromClause) -> bool:
    """Return whether a subquery that is read from names a team itself."""
    if not isinstance(table, AliasedReturnsRows) or isinstance(table.element, Table):
        return False
    return _Statement(table.element, frozenset(), frozenset({table})).leans_on_a_team


def _flat(tables: Iterable[FromClause]) -> Iterator[FromClause]:
    for table in tables:
        if isinstance(table, Join):
            yield from _flat((table.left, table.right))
        else:
            yield table


def _tables_of(statement: Any) -> set[FromClause]:
    if isinstance(statement, Select):
        named = [column.table for column in _columns_in(statement)]
        return {table for table in (*_flat(statement.get_final_froms()), *named) if table is not None}
    if isinstance(statement, Update | Delete):
        return {statement.table, *(column.table for column in _columns_in(statement) if column.table is not None)}
    return set()


def _columns_in(element: ClauseElement) -> Iterator[ColumnClause[Any]]:
    """Find the columns of an expression, those of its subqueries aside."""
    for child in element.get_children():
        if isinstance(child, ColumnClause):
            yield child
        elif not isinstance(child, Select | CompoundSelect | FromClause):
            yield from _columns_in(child)


def _parts_of(element: ClauseElement) -> Iterator[Any]:
    """Find the statements that stand directly inside a statement."""
    if isinstance(element, Insert) and element.select is not None:
        yield element.select
    for child in element.get_children():
        if isinstance(child, Select | CompoundSelect):
            yield child
        elif isinstance(child, AliasedReturnsRows):
            if not isinstance(child.element, Table):
                yield child
        elif not isinstance(child, Table):
            yield from _parts_of(child)


def _conditions_of(statement: Any) -> Iterator[Any]:
    yield from getattr(statement, "_where_criteria", ())
    joins = list(statement.get_final_froms()) if isinstance(statement, Select) else []
    while joins:
        if isinstance(join := joins.pop(), Join):
            yield join.onclause
            joins += [join.left, join.right]


def _ties(condition: Any) -> set[Tie]:
    if isinstance(condition, Grouping):
        return _ties(condition.element)
    if isinstance(condition, BooleanClauseList):
        ties = [_ties(each) for each in condition.clauses if not _is_no_team(each)]
        return set[Tie]().union(*ties) if condition.operator is operators.and_ else set.intersection(*ties)
    if isinstance(condition, BinaryExpression) and condition.operator in _EQUALS:
        return _tie(condition.left, condition.right) | _tie(condition.right, condition.left)
    if isinstance(condition, BinaryExpression) and condition.operator is operators.in_op:
        inside = condition.right.element if isinstance(condition.right, ScalarSelect | Grouping) else condition.right
        tied = isinstance(inside, Select) and _Statement(inside, frozenset(), frozenset()).leans_on_a_team
        return {(condition.left.table, None)} if tied and _is_key(condition.left) else set()
    return set()


def _is_no_team(condition: Any) -> bool:
    """Return whether a condition says that the caller sees every team."""
    return (
        isinstance(condition, BinaryExpression)
        and condition.operator is operators.is_
        and isinstance(condition.left, BindParameter)
    )


def _tie(column: Any, other: Any) -> set[Tie]:
    if not _is_key(column):
        return set()
    if _is_key(other):
        return {(column.table, other.table)}
    names_the_team = column.name == "team_id" or column is models.team.c.id
    return {(column.table, None)} if names_the_team and not list(_columns_in(Grouping(other))) else set()


def _is_key(column: Any) -> bool:
    return isinstance(column, Column | ColumnClause) and column.table is not None and bool(_KEY.search(column.name))


class Caller(Enum):
    """For whom a statement runs. Whoever is not known yet counts as a member, and so does an admin within a team."""

    MEMBER = auto()
    ADMIN = auto()
    HOUSEKEEPING = auto()


class TenancyRule:
    """What the API executes for anybody but an admin, and which of it reaches rows of any team."""

    def __init__(self) -> None:
        self.broken: dict[str, set[str]] = {}
        self.is_on = False
        """Only while the API is tested: what tests of other packages execute in this process is not the API's."""
        self._seen: set[tuple[str, str, Caller]] = set()

    def check(self, statement: Any, sql: str) -> None:
        """Look at a statement that is about to be executed, once for each place that it comes from."""
        if not self.is_on:
            return
        frame = sys._getframe(2)
        while frame.f_globals["__name__"] == db.__name__ and frame.f_back is not None:
            frame = frame.f_back
        place = f"{frame.f_globals['__name__']}:{frame.f_code.co_qualname.partition('.<locals>')[0]}"
        caller = _caller(frame)
        if not place.startswith(("image_api.", "image_core.")) or caller is Caller.ADMIN or place in ANY_TEAM:
            return
        if (place, sql, caller) in self._seen:
            return
        self._seen.add((place, sql, caller))
        statement = statement._statement if isinstance(statement, Query) else statement
        if tables := untied(statement, of_any_team=caller is Caller.HOUSEKEEPING):
            self.broken[place] = tables


def _caller(frame: FrameType) -> Caller:
    if frame.f_locals.get("team_id") is not None:
        return Caller.MEMBER
    outer: FrameType | None = frame
    while outer is not None:
        if isinstance(actor := outer.f_locals.get("actor"), Actor):
            return Caller.ADMIN if actor.role is Role.ADMIN else Caller.MEMBER
        if re.match(r"image_api\.(\w+\.)*tasks\b", outer.f_globals["__name__"]):
            return Caller.HOUSEKEEPING
        outer = outer.f_back
    return Caller.MEMBER
