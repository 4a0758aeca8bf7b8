"""The columns of a share link in the bodies of requests. Passwords are hashed, so no transaction may be open."""

from typing import Any

from pydantic import SecretStr

from image_api.links import schemas
from image_api.proofs import passwords
from image_api.services import Services
from image_core import errors
from image_core.keys.derived_secrets import derive


async def comparison_key(services: Services) -> bytes:
    """Return the key of the hash by which repeated requests for a link are compared.

    A plain hash of a body is fast to compute, so the password in it would be fast to guess. After a rotation of the
    master secret, a repeated request does not match its first one any more (422).

    Raises:
        errors.DeliveryNotConfigured: Nothing would show its pictures.
        errors.MasterSecretUnavailable: The master secret cannot be read.
    """
    return derive(await services.require_delivery_master(), "share-links/idempotency/1")


async def columns_of_new(services: Services, body: schemas.NewShareLink) -> dict[str, Any]:
    """Return the columns of a link to create, without its images.

    Raises:
        errors.DeliveryNotConfigured: Nothing would show its pictures.
        errors.RequestInvalid: The password is refused.
        errors.PasswordsBusy: Too many passwords are being hashed.
    """
    if services.settings.delivery_url is None:
        raise errors.DeliveryNotConfigured
    values = body.model_dump(exclude={"image_ids", "password"})
    presets = list(dict.fromkeys(body.presets))
    return values | {"presets": presets, "password_hash": await _hash(services, body.password)}


async def columns_of_patch(services: Services, body: schemas.ShareLinkPatch) -> dict[str, Any]:
    """Return the columns that a patch changes.

    Raises:
        errors.RequestInvalid: The password is refused.
        errors.PasswordsBusy: Too many passwords are being hashed.
    """
    patch = body.model_dump(exclude_unset=True, exclude={"password"})
    if "presets" in patch:
        patch["presets"] = list(dict.fromkeys(patch["presets"]))
    if "password" in body.model_fields_set:
        patch["password_hash"] = await _hash(services, body.password)
    return patch


async def _hash(services: Services, password: SecretStr | None) -> str | None:
    if password is None:
        return None
    return await services.passwords.hash(passwords.validate_shared(password.get_secret_value()))
