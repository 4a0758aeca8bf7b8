"""Delivery addresses: why one that is correctly signed shows no picture."""

from image_core.errors.kinds import Gone, Invalid, NotFound, Unavailable


class DeliveryExpired(Gone):
    """The address has expired."""

    code = "delivery-expired"


class DeliveryRevoked(Gone):
    """The address has been revoked."""

    code = "delivery-revoked"


class DeliverySpecInvalid(Invalid):
    """What the address asks for is not valid."""

    code = "delivery-spec-invalid"
    status = 400


class PresetNotFound(NotFound):
    """The preset does not exist."""

    code = "preset-not-found"


class DeliveryBusy(Unavailable):
    """Too many pictures are being made at once."""

    code = "delivery-busy"


class MasterSecretUnavailable(Unavailable):
    """The master secret cannot be read."""

    code = "master-secret-unavailable"
