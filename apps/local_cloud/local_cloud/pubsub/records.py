"""Messages, subscriptions, and the switches that simulate unreliable delivery."""

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Message:
    """One published message."""

    id: str
    data: bytes
    attributes: dict[str, str]
    ordering_key: str
    published_at: float  # seconds since the epoch

    @property
    def publish_time(self) -> str:
        """The publish time in the format of push envelopes."""
        moment = datetime.fromtimestamp(self.published_at, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Subscription:
    """The settings of a subscription; with a `push_endpoint` it pushes, without one it is pulled."""

    name: str
    topic: str
    push_endpoint: str | None = None
    push_audience: str = ""
    push_email: str = ""
    ack_deadline_seconds: float = 10.0
    min_backoff_seconds: float = 1.0
    max_backoff_seconds: float = 10.0
    dead_letter_topic: str | None = None
    max_delivery_attempts: int = 10
    retention_seconds: float | None = None

    def backoff_seconds(self, attempt: int) -> float:
        """Return how long to wait after attempt number `attempt` (from 1) has failed."""
        # The exponent is capped, because without a dead-letter topic a poison message would overflow a float.
        return min(self.max_backoff_seconds, self.min_backoff_seconds * 2.0 ** min(attempt - 1, 30))

    def as_dict(self) -> dict[str, Any]:
        """Return the arguments of `Subscription(**values)`."""
        return asdict(self)


@dataclass(frozen=True)
class Switches:
    """Faults that a test can simulate in one subscription.

    `copies` deliveries of each message, sequentially or concurrently; due messages in random order; each new message
    delayed by `delay_seconds`; no delivery while `paused`.
    """

    copies: int = 1
    simultaneous: bool = False
    out_of_order: bool = False
    delay_seconds: float = 0.0
    paused: bool = False

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Switches":
        """Build switches from JSON.

        Raises:
            ValueError: A name is unknown or a value has the wrong type.
        """
        known = {item.name: type(item.default) for item in fields(cls)}
        for name, value in document.items():
            if name not in known:
                raise ValueError(f"unknown switch {name}: choose among {', '.join(known)}")
            expected = (int, float) if known[name] is float else known[name]
            if not isinstance(value, expected) or (known[name] is not bool and isinstance(value, bool)):
                raise ValueError(f"{name} must be of type {known[name].__name__}")
        return cls(**document)


@dataclass
class Delivery:
    """One message to be delivered to one subscription."""

    message: Message
    attempt: int = 0
    due_at: float = 0.0  # on the clock of time.monotonic

    @property
    def ack_id(self) -> str:
        """The id of this attempt; an acknowledgement of an earlier one still counts, as in the service."""
        return f"{self.message.id}:{self.attempt}"
