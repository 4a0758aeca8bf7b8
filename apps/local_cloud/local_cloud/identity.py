"""Keys that replace Google's: a service account that signs URLs, and an issuer of OIDC tokens."""

import json
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

from local_cloud.object_store.signing import Signer

ISSUER = "https://accounts.google.com"
TOKEN_LIFETIME_SECONDS = 3600
# Tokens are reused for half their lifetime, as Pub/Sub does, because a signature costs more than a delivery.
REUSE_SECONDS = TOKEN_LIFETIME_SECONDS / 2


class Identity:
    """Both keys, generated at first use and stored in `<data_dir>` with mode 0600."""

    def __init__(self, data_dir: Path, project_id: str) -> None:
        self.key_file = data_dir / "service-account.json"
        self._token_key_file = data_dir / "oidc-key.pem"
        self._project_id = project_id
        with ThreadPoolExecutor(2) as pool:
            account = pool.submit(self._service_account)
            token_key = pool.submit(self._load_token_key)
            self._account = account.result()
            self._token_key = token_key.result()
        self._tokens: dict[tuple[str, str], tuple[float, str]] = {}

    @property
    def signer(self) -> Signer:
        """The account whose signed URLs the object store accepts."""
        loaded = serialization.load_pem_private_key(self._account["private_key"].encode(), password=None)
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise TypeError(f"{self.key_file} holds no RSA key")
        return Signer(self._account["client_email"], loaded.public_key())

    def token(self, audience: str, email: str) -> str:
        """Return an OIDC token as Pub/Sub and Cloud Scheduler send it, valid for at least half an hour.

        Source: https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions#jwt-format
        """
        now = time.time()
        cached = self._tokens.get((audience, email))
        if cached is not None and cached[0] > now:
            return cached[1]
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "azp": email,
            "email": email,
            "email_verified": True,
            "sub": str(uuid.uuid5(uuid.NAMESPACE_DNS, email).int % 10**21),
            "iat": int(now),
            "exp": int(now) + TOKEN_LIFETIME_SECONDS,
        }
        header = {"alg": "RS256", "kid": self._token_key.kid, "typ": "JWT"}
        token = jwt.encode(header, claims, self._token_key)
        self._tokens[audience, email] = (now + REUSE_SECONDS, token)
        return token

    def jwks(self) -> dict[str, Any]:
        """Return the public keys of the issuer, in the format of Google's `/oauth2/v3/certs`."""
        public = self._token_key.as_dict(private=False)
        return {"keys": [{**public, "alg": "RS256", "use": "sig", "kid": self._token_key.kid}]}

    def _service_account(self) -> dict[str, str]:
        if self.key_file.exists():
            stored: dict[str, str] = json.loads(self.key_file.read_text())
            return stored
        # Source: https://cloud.google.com/iam/docs/keys-create-delete, "service account key".
        account = {
            "type": "service_account",
            "project_id": self._project_id,
            "private_key_id": uuid.uuid4().hex,
            "private_key": _new_pem(),
            "client_email": f"image-manager@{self._project_id}.iam.gserviceaccount.com",
            "client_id": str(uuid.uuid4().int % 10**21),
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": "https://oauth2.googleapis.com/token",
            "universe_domain": "googleapis.com",
        }
        write_private(self.key_file, json.dumps(account, indent=2))
        return account

    def _load_token_key(self) -> RSAKey:
        if not self._token_key_file.exists():
            write_private(self._token_key_file, _new_pem())
        key = RSAKey.import_key(self._token_key_file.read_text())
        key.ensure_kid()
        return key


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(staging, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{text}\n")
    staging.replace(path)


def _new_pem() -> str:
    key = rsa.generate_private_key(65537, 2048)
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded.decode()
