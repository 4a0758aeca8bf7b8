from typing import Any

import pytest
from pydantic import ValidationError

from image_api.settings import ApiSettings
from image_core.keys import master_secrets

SECRET = "projects/p/secrets/delivery-master"
URL = "https://pictures.example.org"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"delivery_url": URL}, "DELIVERY_URL needs DELIVERY_MASTER or DELIVERY_MASTER_SECRET"),
        (
            {"delivery_master": master_secrets.generate(), "delivery_master_secret": SECRET},
            "DELIVERY_MASTER or DELIVERY_MASTER_SECRET, not both",
        ),
        ({"delivery_master": "short"}, "a master secret is 32 bytes in base64url"),
        ({"delivery_master_secret": "delivery-master"}, "delivery_master_secret"),
    ],
)
def test_settings_that_cannot_sign_are_refused(
    base_settings: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    without = {name: value for name, value in base_settings.items() if not name.startswith("delivery_")}
    with pytest.raises(ValidationError, match=message) as refused:
        ApiSettings(**without, **given)
    assert "short" not in str(refused.value)


def test_a_deployment_without_delivery_or_with_its_master_from_one_place_starts(base_settings: dict[str, Any]) -> None:
    without = {name: value for name, value in base_settings.items() if not name.startswith("delivery_")}
    for given in (
        {},
        {"delivery_url": URL, "delivery_master": master_secrets.generate()},
        {"delivery_url": URL, "delivery_master_secret": SECRET},
    ):
        ApiSettings(**without, **given)
