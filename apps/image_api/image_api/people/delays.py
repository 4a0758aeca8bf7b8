"""The delay that grows with failed attempts, kept in the database and so the same on every instance.

Three things are counted for each attempt:

- the account together with the caller's address: after five failures a second, doubling up to a quarter of an hour;
- the address: the same after twenty, so that one address cannot try many accounts;
- the account from everywhere: after twenty, up to one minute only. A longer wait would let a stranger who tries from
  many addresses lock somebody out. And it does not hold an address from which the account has signed in before.

Whether there is such an account makes no difference. A failure is counted before the password is looked at and
taken back when it was right, so that many attempts at once get no further than one after the other.
"""

import hashlib
import math
from typing import NamedTuple

from image_api.limits.rate_limits import network_of
from image_api.people import queries
from image_core import errors
from image_core.db import Database, Transaction

_FORGIVEN_SECONDS = 1800


class _Rule(NamedTuple):
    free: int
    most_seconds: int


_ACCOUNT_AND_ADDRESS = _Rule(5, 900)
_ADDRESS = _Rule(20, 900)
_ACCOUNT = _Rule(20, 60)


async def count_attempt(database: Database, email: str, address: str) -> None:
    """Counts an attempt as failed, and commits. Raises `errors.TooManySignIns`, and counts nothing, while one waits."""
    rules = {_both(email, address): _ACCOUNT_AND_ADDRESS, _of_address(address): _ADDRESS}
    if not await queries.has_signed_in_from(database, email, address):
        rules[_of_account(email)] = _ACCOUNT
    async with database.transaction() as transaction:
        # In one order, so that two attempts never wait for each other.
        counted = [
            await queries.count_failure(transaction, subject, *rules[subject], _FORGIVEN_SECONDS)
            for subject in sorted(rules)
        ]
        if not all(counted):
            seconds = max(1, math.ceil(await queries.wait_seconds(transaction, list(rules))))
            raise errors.TooManySignIns(
                "Too many failed attempts. Wait before the next one.", retry_after_seconds=seconds
            )


async def forgive(transaction: Transaction, email: str, address: str) -> None:
    """Begins anew for the account; of the address only the last attempt is taken back."""
    await begin_anew(transaction, email, address)
    await queries.take_back_failure(transaction, _of_address(address))


async def begin_anew(transaction: Transaction, email: str, address: str) -> None:
    """Forgets the failures of the account, and those that it had from this address."""
    await queries.forget_failures(transaction, [_both(email, address), _of_account(email)])


def _lower(email: str) -> str:
    """As PostgreSQL finds accounts: letter by letter, so that no other way to write an address counts by itself."""
    return "".join(letter.lower()[0] for letter in email)


def _both(email: str, address: str) -> bytes:
    return _subject("account and address", _lower(email), network_of(address))


def _of_account(email: str) -> bytes:
    return _subject("account", _lower(email))


def _of_address(address: str) -> bytes:
    return _subject("address", network_of(address))


def _subject(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()
