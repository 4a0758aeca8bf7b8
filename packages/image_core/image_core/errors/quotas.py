"""What a team may still spend and hold."""

from image_core.errors.kinds import Conflict, LimitExceeded


class CreditsExhausted(LimitExceeded):
    """The team has not enough credits left."""

    code = "credits-exhausted"


class StorageQuotaExceeded(LimitExceeded):
    """The team's storage is full."""

    code = "storage-quota-exceeded"


class BalanceTooLow(Conflict):
    """The balance cannot go below zero."""

    code = "balance-too-low"
