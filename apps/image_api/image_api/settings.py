"""The API's settings."""

from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from uuid import UUID

from pydantic import Field, HttpUrl, IPvAnyAddress, SecretStr, field_validator, model_validator

from image_core.settings import MEBIBYTE, ServiceSettings


class ApiSettings(ServiceSettings):
    """Everything that may differ between one deployment of the API and another."""

    public_base_url: HttpUrl | None = Field(None, description="URL under which callers reach the API; used in links.")
    cors_allow_origins: list[str] = Field(default_factory=list, description="Origins of browsers that may call.")
    trusted_proxy_depth: int = Field(
        0, ge=0, le=5, description="How many proxies in front append to X-Forwarded-For; 0 ignores the header."
    )
    trusted_proxy_addresses: list[IPvAnyAddress] = Field(
        default_factory=list,
        description="Proxies that only some calls pass, such as a load balancer: what they append is believed as well.",
    )
    max_instances: int = Field(
        1, ge=1, description="Most instances; each takes its share of a rate limit where they share no Redis."
    )

    rate_limit_url: SecretStr | None = Field(
        None, description="Redis (`redis://`, or `rediss://` with TLS) that all instances count in; memory without."
    )
    rate_limit_ca_pem: str | None = Field(
        None, description="Certificate authorities of that Redis, which then vouch for it whatever its name."
    )
    rate_limit_per_second: int = Field(50, ge=1, description="Requests a second and key; bursts of twice as many.")
    upload_rate_limit_per_second: int = Field(20, ge=1, description="Uploads a second and key.")
    address_rate_limit_per_second: int = Field(
        20, ge=1, description="Requests a second and address without a valid key; bursts of twice as many."
    )
    bad_key_limit_per_minute: int = Field(30, ge=1, description="Attempts with bad keys a minute and address.")
    sign_in_limit_per_minute: int = Field(30, ge=1, description="Attempts to sign in a minute and address.")

    open_registration_team_id: UUID | None = Field(
        None, description="Team into which anybody may register; only who was invited may, without."
    )
    token_signing_keys: SecretStr | None = Field(
        None, description="Keys that sign access tokens, as a JSON Web Key Set: the first signs, all verify."
    )
    token_signing_secret: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="projects/…/secrets/… whose latest version has those keys, instead.",
    )
    access_token_seconds: int = Field(900, ge=60, le=900, description="How long an access token is valid.")
    session_hours: int = Field(12, ge=1, le=720, description="How long a session lives, however much it is used.")
    password_hash_memory_kib: int = Field(65_536, ge=32, description="Memory that hashing a password takes.")
    password_hash_iterations: int = Field(3, ge=1, description="Passes over that memory.")

    vision_enabled: bool = Field(False, description="Let teams choose Cloud Vision for `labels`; see docs/analyses.md.")
    starting_credits: int = Field(1000, ge=0, description="Credits that a new team starts with.")

    upload_max_bytes: int = Field(20 * MEBIBYTE, ge=1, description="Largest file through the API.")
    upload_deadline_seconds: int = Field(300, ge=15, description="When a pending upload expires.")

    fetch_deadline_seconds: int = Field(25, ge=1, description="How long an import may wait for its source.")
    fetch_allow_addresses: list[IPv4Network | IPv6Network] = Field(
        default_factory=list,
        description="Networks that imports may fetch from although they are not public, for a picture server inside.",
    )

    @field_validator("rate_limit_url")
    @classmethod
    def _redis_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("RATE_LIMIT_URL starts with redis:// or rediss://")
        return url

    @model_validator(mode="after")
    def _keys_come_from_one_place(self) -> "ApiSettings":
        if self.token_signing_keys and self.token_signing_secret:
            raise ValueError("set TOKEN_SIGNING_KEYS or TOKEN_SIGNING_SECRET, not both")
        return self

    @cached_property
    def base_url(self) -> str:
        """The public base URL without a slash at its end; empty where none is set, for relative links."""
        return str(self.public_base_url).rstrip("/") if self.public_base_url else ""

    @property
    def session_cookie_name(self) -> str:
        """With `__Host-` a browser takes the cookie from this very host alone, and over HTTPS alone.

        Source: RFC 6265bis, section 4.1.3.2. A laptop without HTTPS has to do without.
        """
        return "__Host-im_session" if self.cookies_are_secure else "im_session"

    @property
    def cookies_are_secure(self) -> bool:
        """Whether cookies travel over HTTPS only: always, unless the base URL says that there is none."""
        return not self.base_url.startswith("http:")
