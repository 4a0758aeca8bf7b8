"""What a team may still spend and hold."""

from image_core.errors.kinds import Conflict, LimitExceeded


class CreditsExhausted(LimitExceeded):
    """The team does not have enough credits."""

    code = "credits-exhausted"


class StorageQuotaExceeded(LimitExceeded):
    """The team's storage is full."""

    code = "storage-quota-exceeded"


class BalanceTooLow(Conflict):
    """The balance cannot go below zero."""

    code = "balance-too-low"
