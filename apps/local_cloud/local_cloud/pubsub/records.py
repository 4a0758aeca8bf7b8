"""Messages, subscriptions and the switches that make delivery as bad as it may get."""

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
        """The time of publishing as push envelopes show it."""
        moment = datetime.fromtimestamp(self.published_at, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Subscription:
    """A subscription's settings; with a `push_endpoint` it pushes, without one it waits to be pulled."""

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

    def backoff_seconds(self, attempt: int) -> float:
        """How long to wait after attempt number `attempt` (from 1) has failed."""
        # The exponent is capped, since a float can't hold what a poison message would reach without a dead letter.
        return min(self.max_backoff_seconds, self.min_backoff_seconds * 2.0 ** min(attempt - 1, 30))

    def as_dict(self) -> dict[str, Any]:
        """Turn it into what `Subscription(**values)` takes."""
        return asdict(self)


@dataclass(frozen=True)
class Switches:
    """What a test can make one subscription do.

    `copies` deliveries of each message, one after the other or all at once; due messages in random order;
    each new message held back for `delay_seconds`; nothing delivered while `paused`.
    """

    copies: int = 1
    simultaneous: bool = False
    out_of_order: bool = False
    delay_seconds: float = 0.0
    paused: bool = False

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Switches":
        """Build from JSON.

        Raises:
            ValueError: a name is unknown or a value is of the wrong kind.
        """
        known = {item.name: type(item.default) for item in fields(cls)}
        for name, value in document.items():
            if name not in known:
                raise ValueError(f"unknown switch {name}: choose among {', '.join(known)}")
            wanted = (int, float) if known[name] is float else known[name]
            if not isinstance(value, wanted) or (known[name] is not bool and isinstance(value, bool)):
                raise ValueError(f"{name} must be of type {known[name].__name__}")
        return cls(**document)


@dataclass
class Delivery:
    """One message on its way to one subscription."""

    message: Message
    attempt: int = 0
    due_at: float = 0.0  # on the clock of time.monotonic

    @property
    def ack_id(self) -> str:
        """Names this attempt; the acknowledgement of an earlier one still counts, as in the service."""
        return f"{self.message.id}:{self.attempt}"
