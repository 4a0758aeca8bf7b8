"""The API's settings."""

from functools import cached_property
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import Field, HttpUrl, IPvAnyAddress, SecretStr, field_validator, model_validator

from image_core.keys import master_secrets
from image_core.keys.master_secrets import MasterSecret
from image_core.settings import UploadLimitSettings, WebhookSettings, open_master


class ApiSettings(UploadLimitSettings, WebhookSettings):
    """All settings that may differ between deployments of the API."""

    public_base_url: HttpUrl | None = Field(None, description="URL of the API as callers reach it; used in links.")
    cors_allow_origins: list[str] = Field(default_factory=list, description="Browser origins that may call the API.")
    trusted_proxy_depth: int = Field(
        0, ge=0, le=5, description="Number of proxies that append to X-Forwarded-For; 0 ignores the header."
    )
    trusted_proxy_addresses: list[IPvAnyAddress] = Field(
        default_factory=list,
        description="Proxies that only some requests pass, such as a load balancer; their entries are trusted too.",
    )
    max_instances: int = Field(
        1, ge=1, description="Maximum number of instances; without a shared Redis, each gets its share of a rate limit."
    )

    request_concurrency: int = Field(
        40, ge=1, description="Requests that an instance handles at once; a quarter of them may wait for changes."
    )

    rate_limit_url: SecretStr | None = Field(
        None,
        description="Redis for rate limits (`redis://`, or `rediss://` with TLS); if unset, instances count in memory.",
    )
    rate_limit_ca_pem: str | None = Field(
        None, description="Certificate authorities trusted for that Redis, whatever its host name."
    )
    rate_limit_per_second: int = Field(50, ge=1, description="Requests a second for each key; bursts of twice as many.")
    upload_rate_limit_per_second: int = Field(20, ge=1, description="Uploads a second for each key.")
    address_rate_limit_per_second: int = Field(
        20, ge=1, description="Requests a second for each address without a valid key; bursts of twice as many."
    )
    bad_key_limit_per_minute: int = Field(30, ge=1, description="Attempts with invalid keys a minute for each address.")
    sign_in_limit_per_minute: int = Field(30, ge=1, description="Attempts to sign in a minute for each address.")

    open_registration_team_id: UUID | None = Field(
        None, description="Team that anybody may join by registering; if unset, registration needs an invitation."
    )
    token_signing_keys: SecretStr | None = Field(
        None, description="Keys that sign access tokens, as a JSON Web Key Set: the first signs, all verify."
    )
    token_signing_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="Secret (projects/…/secrets/…) whose latest version contains those keys, instead.",
    )
    delivery_url: HttpUrl | None = Field(
        None, description="URL of image-delivery as browsers reach it; if unset, no delivery addresses are issued."
    )
    delivery_master: SecretStr | None = Field(
        None,
        description="Master secret from which delivery keys are derived: 32 bytes in base64url. The one before it may"
        " follow on a second line; its addresses are only renewed.",
    )
    delivery_master_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="Secret (projects/…/secrets/…) whose latest version contains that master secret, instead.",
    )
    presets_per_team: int | None = Field(
        32, ge=0, description="Maximum number of presets of a team besides the built-in ones; `null` for no limit."
    )
    collections_per_team: int | None = Field(
        1000, ge=0, description="Maximum number of collections of a team; `null` for no limit."
    )
    saved_searches_per_team: int | None = Field(
        200, ge=0, description="Maximum number of saved searches of a team; `null` for no limit."
    )
    share_links_per_team: int | None = Field(
        1000, ge=0, description="Maximum number of share links of a team, expired ones too; `null` for no limit."
    )
    images_per_collection: int = Field(
        10_000, ge=1, le=100_000, description="Maximum number of images in a collection."
    )
    trash_retention_days: int = Field(
        7, ge=0, description="How long a deleted image can be restored, as pages say it: the value of image-tasks."
    )
    access_token_seconds: int = Field(900, ge=60, le=900, description="How long an access token is valid.")
    session_hours: int = Field(12, ge=1, le=720, description="Lifetime of a session, regardless of use.")
    password_hash_memory_kib: int = Field(65_536, ge=32, description="Memory for hashing a password.")
    password_hash_iterations: int = Field(3, ge=1, description="Passes over that memory.")

    vision_enabled: bool = Field(False, description="Let teams choose Cloud Vision for `labels`; see docs/analyses.md.")
    starting_credits: int = Field(1000, ge=0, description="Credits of a new team.")

    direct_upload_deadline_seconds: int = Field(
        43_200, ge=60, le=518_400, description="Time after which a direct upload expires; its session lasts a week."
    )
    direct_uploads_per_team: int = Field(
        200, ge=0, description="Maximum number of direct uploads of a team that wait for their bytes."
    )
    upload_session_master: SecretStr | None = Field(
        None,
        description="Master secret under which the addresses of direct uploads are encrypted: 32 bytes in base64url."
        " The one before it may follow on a second line. Without it and its secret, direct uploads are off.",
    )
    upload_session_master_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="Secret (projects/…/secrets/…) whose latest version contains that master secret, instead.",
    )

    @field_validator("rate_limit_url")
    @classmethod
    def _redis_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("RATE_LIMIT_URL starts with redis:// or rediss://")
        return url

    @field_validator("delivery_master", "upload_session_master")
    @classmethod
    def _is_a_master_secret(cls, master: SecretStr | None) -> SecretStr | None:
        if master is not None:
            master_secrets.masters_from_text(master.get_secret_value())
        return master

    @model_validator(mode="after")
    def _keys_come_from_one_place(self) -> "ApiSettings":
        if self.token_signing_keys and self.token_signing_secret:
            raise ValueError("set TOKEN_SIGNING_KEYS or TOKEN_SIGNING_SECRET, not both")
        if self.delivery_master and self.delivery_master_secret:
            raise ValueError("set DELIVERY_MASTER or DELIVERY_MASTER_SECRET, not both")
        if self.upload_session_master and self.upload_session_master_secret:
            raise ValueError("set UPLOAD_SESSION_MASTER or UPLOAD_SESSION_MASTER_SECRET, not both")
        if self.delivery_url and not (self.delivery_master or self.delivery_master_secret):
            raise ValueError("DELIVERY_URL needs DELIVERY_MASTER or DELIVERY_MASTER_SECRET")
        return self

    def open_upload_session_master(self) -> MasterSecret | None:
        """Return the master secret of direct uploads, to be read at its first use; None if there is none."""
        return open_master(self.upload_session_master, self.upload_session_master_secret)

    @cached_property
    def base_url(self) -> str:
        """The public base URL without a trailing slash; empty if it is not set, for relative links."""
        return str(self.public_base_url).rstrip("/") if self.public_base_url else ""

    @cached_property
    def delivery_base_url(self) -> str:
        """The URL of image-delivery without a trailing slash; empty if none is set."""
        return str(self.delivery_url).rstrip("/") if self.delivery_url else ""

    @property
    def session_cookie_name(self) -> str:
        """With the prefix `__Host-` a browser accepts the cookie only from this exact host, and only over HTTPS.

        Source: RFC 6265bis, section 4.1.3.2. A laptop without HTTPS uses a plain name with the port: cookies go to all
        ports of a host, so two systems would sign each other out.
        """
        return "__Host-im_session" if self.cookies_are_secure else f"im_session_{urlsplit(self.base_url).port or 80}"

    @property
    def is_local(self) -> bool:
        """Whether this is the local cloud: storage is emulated, and callers use plain HTTP."""
        return self.storage_emulator_host is not None and self.base_url.startswith("http:")

    @property
    def cookies_are_secure(self) -> bool:
        """Whether cookies are sent over HTTPS only: always, unless the base URL is plain HTTP."""
        return not self.base_url.startswith("http:")
