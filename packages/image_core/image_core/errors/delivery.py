"""Delivery: addresses, the keys that sign them, presets, and share links."""

from image_core.errors.kinds import Conflict, Gone, Invalid, LimitExceeded, NotFound, Unavailable


class DeliveryExpired(Gone):
    """The address has expired."""

    code = "delivery-expired"


class DeliveryRevoked(Gone):
    """The address has been revoked."""

    code = "delivery-revoked"


class DeliveryAddressInvalid(Invalid):
    """The address was not signed by a key of the team."""

    code = "delivery-address-invalid"


class DeliveryNotConfigured(NotFound):
    """This deployment issues no delivery addresses."""

    code = "delivery-not-configured"

    def __init__(
        self, detail: str = "This deployment issues no delivery addresses. The operator can enable them."
    ) -> None:
        super().__init__(detail)


class DeliveryKeyNotFound(NotFound):
    """The delivery key does not exist."""

    code = "delivery-key-not-found"


class DeliveryKeyActive(Conflict):
    """The delivery key still signs addresses."""

    code = "delivery-key-active"


class DeliveryKeyNotActive(Conflict):
    """The delivery key no longer signs addresses."""

    code = "delivery-key-not-active"


class TooManyDeliveryKeys(Conflict):
    """The team has too many delivery keys."""

    code = "too-many-delivery-keys"


class DeliverySpecInvalid(Invalid):
    """What the address asks for is not valid."""

    code = "delivery-spec-invalid"
    status = 400


class PresetBuiltIn(Conflict):
    """A built-in preset cannot be removed."""

    code = "preset-built-in"


class TooManyPresets(Conflict):
    """The team has too many presets."""

    code = "too-many-presets"


class PresetNotFound(NotFound):
    """The preset does not exist."""

    code = "preset-not-found"


class PresetInUse(Conflict):
    """Share links show the preset."""

    code = "preset-in-use"


class ShareLinkNotFound(NotFound):
    """The share link does not exist."""

    code = "share-link-not-found"


class ShareLinkEnded(Conflict):
    """The share link has ended."""

    code = "share-link-ended"


class TooManyShareLinks(Conflict):
    """The team has too many share links."""

    code = "too-many-share-links"


class DeliveryQuotaExceeded(LimitExceeded):
    """The team's delivery quota is used up."""

    code = "delivery-quota-exceeded"


class DeliveryBusy(Unavailable):
    """Too many pictures are being made at once."""

    code = "delivery-busy"


class MasterSecretUnavailable(Unavailable):
    """The master secret cannot be read."""

    code = "master-secret-unavailable"
