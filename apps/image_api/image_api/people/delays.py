"""Delays that grow with failed sign-ins, stored in the database and so the same on every instance.

Each attempt counts for three subjects:

- the account together with the caller's address: delayed after five failures, from one second up to 15 minutes;
- the address: the same after twenty failures, so that one address cannot try many accounts;
- the account from everywhere: after twenty failures, up to one minute only. A longer delay would let a stranger who
  uses many addresses lock the owner out. It does not apply to addresses from which the account has signed in before.

It makes no difference whether the account exists. A failure is counted before the password is verified and taken back
if it was right, so that concurrent attempts achieve no more than sequential ones.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import NamedTuple

from image_api.limits.rate_limits import network_of
from image_api.people import queries
from image_core import errors
from image_core.db import Database, Transaction

_FORGIVEN_SECONDS = 1800


class Rule(NamedTuple):
    """How many failures are free of a delay, and the longest delay after further ones."""

    free: int
    max_seconds: int


WITH_ADDRESS = Rule(5, 900)
"""For a secret together with an address."""
ADDRESS = Rule(20, 900)
"""For an address, whatever secrets it tries."""
EVERYWHERE = Rule(20, 60)
"""For a secret, from whatever addresses it is tried."""


async def count_attempt(database: Database, email: str, address: str) -> None:
    """Count an attempt as failed, and commit. While a subject has to wait, nothing is counted.

    Raises:
        errors.TooManySignIns: Too many attempts to sign in.
    """
    rules = {_account_and_address_subject(email, address): WITH_ADDRESS, _address_subject(address): ADDRESS}
    if not await queries.has_signed_in_from(database, email, address):
        rules[_account_subject(email)] = EVERYWHERE
    await count_failures(database, rules)


async def count_failures(database: Database, rules: Mapping[bytes, Rule]) -> None:
    """Count a failure for each subject, and commit. While one of them has to wait, nothing is counted.

    Raises:
        errors.TooManySignIns: A subject has to wait.
    """
    async with database.transaction() as transaction:
        # In a fixed order, so that concurrent attempts do not deadlock.
        counted = [
            await queries.count_failure(transaction, subject, *rules[subject], _FORGIVEN_SECONDS)
            for subject in sorted(rules)
        ]
        if not all(counted):
            seconds = max(1, math.ceil(await queries.wait_seconds(transaction, list(rules))))
            raise errors.TooManySignIns(
                "Too many failed attempts. Wait for `Retry-After` before the next one.", retry_after_seconds=seconds
            )


async def forgive(transaction: Transaction, email: str, address: str) -> None:
    """Reset the account's failures; take back only the last failure of the address."""
    await reset(transaction, email, address)
    await queries.undo_failure(transaction, _address_subject(address))


async def reset(transaction: Transaction, email: str, address: str) -> None:
    """Reset the failures of the account, and those it had from this address."""
    await queries.forget_failures(transaction, [_account_and_address_subject(email, address), _account_subject(email)])


def _lower(email: str) -> str:
    """Lower-case an address as PostgreSQL does for accounts, so that other spellings do not count separately."""
    return "".join(letter.lower()[0] for letter in email)


def _account_and_address_subject(email: str, address: str) -> bytes:
    return subject_of("account and address", _lower(email), network_of(address))


def _account_subject(email: str) -> bytes:
    return subject_of("account", _lower(email))


def _address_subject(address: str) -> bytes:
    return subject_of("address", network_of(address))


def subject_of(*parts: str) -> bytes:
    """Return the subject for which failures are counted; the first part is its kind."""
    return hashlib.sha256("\0".join(parts).encode()).digest()
