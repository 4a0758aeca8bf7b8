"""Signatures, as receivers check them."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from image_api.webhooks import signing
from image_core.keys import master_secrets, webhook_secrets


def test_specifications_example() -> None:
    # Source: spec/standard-webhooks.md and the reference implementations' tests.
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    now = datetime.fromtimestamp(1614265330, UTC)
    headers = signing.headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", now, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_both_secrets_of_a_rotation_verify_and_others_do_not() -> None:
    master = master_secrets.masters_from_text(master_secrets.generate()).current
    webhook_id, now = uuid4(), datetime.now(UTC)
    secrets = [webhook_secrets.secret_bytes(master, webhook_id, version) for version in (2, 1)]
    body = b'{"type":"image.ready"}'
    headers = signing.headers(secrets, "id", now, body)
    for secret in secrets:
        assert Webhook(webhook_secrets.to_text(secret)).verify(body, headers)
    other = webhook_secrets.to_text(webhook_secrets.secret_bytes(master, uuid4(), 1))
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook_secrets.to_text(secrets[0])).verify(body + b" ", headers)
    late = signing.headers(secrets, "id", now - timedelta(minutes=6), body)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook_secrets.to_text(secrets[0])).verify(body, late)
