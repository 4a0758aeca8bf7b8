"""Guesses at the passwords of share links: delayed like attempts to sign in, and verified a few at a time.

A failure is counted before the password is verified and taken back if it was right.
"""

from image_api.limits.rate_limits import network_of
from image_api.people import delays
from image_api.people import queries as delay_queries
from image_api.services import Services
from image_core.db import Record
from image_core.telemetry import log


async def is_right(services: Services, link: Record, password: str, address: str) -> bool:
    """Verify a password for a link.

    Raises:
        errors.TooManySignIns: Too many wrong passwords from this address, or for this link.
        errors.PasswordsBusy: Too many passwords are being checked at the moment.
    """
    with services.passwords.place_of_visitor():
        await delays.count_failures(
            services.database,
            {
                _with_address(link, address): delays.WITH_ADDRESS,
                _address(address): delays.ADDRESS,
                _everywhere(link): delays.EVERYWHERE,
            },
        )
        right = await services.passwords.verify(password, link["password_hash"])
    if right:
        await _forgive(services, link, address)
    else:
        log("share_link_password_refused", link_id=str(link["id"]))
    return right


async def _forgive(services: Services, link: Record, address: str) -> None:
    """Reset the failures of the link from this address, and take back the last one of both."""
    async with services.database.transaction() as transaction:
        await delay_queries.forget_failures(transaction, [_with_address(link, address)])
        for subject in sorted((_address(address), _everywhere(link))):
            await delay_queries.undo_failure(transaction, subject)


def _with_address(link: Record, address: str) -> bytes:
    return delays.subject_of("share link and address", str(link["id"]), network_of(address))


def _address(address: str) -> bytes:
    return delays.subject_of("address at share links", network_of(address))


def _everywhere(link: Record) -> bytes:
    return delays.subject_of("share link", str(link["id"]))
