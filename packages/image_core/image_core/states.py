"""The states of images, analyses, delivery keys and operations, and all transitions of those that several make."""

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar


class ImageStatus(StrEnum):
    """Status of an image. The trash is not a status but a separate column."""

    PENDING = "pending"
    STORED = "stored"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    EXPIRED = "expired"


class DeadLetterStatus(StrEnum):
    """What has become of a message that no attempt could deliver."""

    OPEN = "open"
    """Nobody has dealt with it."""
    REDRIVEN = "redriven"
    """It was published again."""
    DISCARDED = "discarded"
    """Somebody decided that it is not needed."""


class Mover(StrEnum):
    """A service or person that makes transitions."""

    API = "api"
    PROCESSOR = "processor"
    SWEEP = "sweep"
    OPERATOR = "operator"
    """A person, through `image-manager-admin` or a recovery script."""


_Function = TypeVar("_Function", bound=Callable[..., object])


def made_by(*movers: Mover) -> Callable[[_Function], _Function]:
    """Declare the movers that may make the transition of a function; tests check it."""

    def name_movers(function: _Function) -> _Function:
        function.movers = frozenset(movers)  # type: ignore[attr-defined]
        return function

    return name_movers


class Failure(NamedTuple):
    """The reason why an image or an analysis failed, or an upload expired: a code and a message for people."""

    code: str
    message: str


FAILURE_REMEMBERED = timedelta(hours=1)
"""How long a rendition that cannot be made is not tried again."""
UNCOUNTED_RETRY_WINDOW = timedelta(days=1)
"""How long failures that are not caused by the picture use up no attempt."""


class TakenAtSource(StrEnum):
    """Where the time of a photograph comes from."""

    EXIF = "exif"
    """The file has a time with its offset."""
    GPS = "gps"
    """The satellites' time gives the instant, or the offset of the camera's clock."""
    CAMERA_CLOCK = "camera-clock"
    """The offset of the camera's clock is unknown; its time is read as UTC."""
    UNKNOWN = "unknown"
    """The file has no time."""


class LabelSource(StrEnum):
    """Source of labels: this deployment, or Cloud Vision."""

    OWN = "own"
    VISION = "vision"


class Visibility(StrEnum):
    """Who can see an image by a delivery address: holders of a signed one, or everybody."""

    PRIVATE = "private"
    PUBLIC = "public"


TRANSITIONS: dict[tuple[ImageStatus | None, ImageStatus], frozenset[Mover]] = {
    # An upload, or in image-tasks an import of many images.
    (None, ImageStatus.PENDING): frozenset({Mover.API, Mover.SWEEP}),
    # By the API when the object is complete, or by the processor on the finalize event; the sweep publishes a lost
    # event again.
    (ImageStatus.PENDING, ImageStatus.STORED): frozenset({Mover.API, Mover.PROCESSOR}),
    (ImageStatus.PENDING, ImageStatus.EXPIRED): frozenset({Mover.API, Mover.PROCESSOR, Mover.SWEEP}),
    (ImageStatus.STORED, ImageStatus.PROCESSING): frozenset({Mover.PROCESSOR}),
    # An expired lease may be taken over without passing through `stored`.
    (ImageStatus.PROCESSING, ImageStatus.PROCESSING): frozenset({Mover.PROCESSOR}),
    # Finished; or failed, for an image that was ready before and keeps its derivatives.
    (ImageStatus.PROCESSING, ImageStatus.READY): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    (ImageStatus.PROCESSING, ImageStatus.FAILED): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    # An operator moves images that have lost their derivatives.
    (ImageStatus.PROCESSING, ImageStatus.STORED): frozenset({Mover.PROCESSOR, Mover.SWEEP, Mover.OPERATOR}),
    (ImageStatus.STORED, ImageStatus.STORED): frozenset({Mover.SWEEP, Mover.OPERATOR}),
    (ImageStatus.STORED, ImageStatus.FAILED): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    (ImageStatus.STORED, ImageStatus.READY): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    # By the API on request.
    (ImageStatus.READY, ImageStatus.STORED): frozenset({Mover.API, Mover.SWEEP, Mover.OPERATOR}),
    # Reconciliation finds that the original is lost, or is another one.
    (ImageStatus.READY, ImageStatus.FAILED): frozenset({Mover.SWEEP}),
    # By the API on request, or when the same bytes are uploaded again.
    (ImageStatus.FAILED, ImageStatus.STORED): frozenset({Mover.API, Mover.SWEEP, Mover.OPERATOR}),
}

HOLDS_BYTES = (ImageStatus.STORED, ImageStatus.PROCESSING, ImageStatus.READY, ImageStatus.FAILED)
"""The states in which the original exists and its size, hash and generation are known."""

FINAL = (ImageStatus.READY, ImageStatus.FAILED, ImageStatus.EXPIRED)
"""The states that only an explicit request leaves."""


class AnalysisStatus(StrEnum):
    """Status of an analysis."""

    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


ANALYSIS_TRANSITIONS: dict[tuple[AnalysisStatus | None, AnalysisStatus], frozenset[Mover]] = {
    # When an image arrives, its processing either stores results directly or requests analyses.
    (None, AnalysisStatus.REQUESTED): frozenset({Mover.API, Mover.PROCESSOR}),
    (None, AnalysisStatus.DONE): frozenset({Mover.PROCESSOR}),
    (AnalysisStatus.REQUESTED, AnalysisStatus.RUNNING): frozenset({Mover.PROCESSOR}),
    (AnalysisStatus.RUNNING, AnalysisStatus.RUNNING): frozenset({Mover.PROCESSOR}),
    (AnalysisStatus.RUNNING, AnalysisStatus.DONE): frozenset({Mover.PROCESSOR}),
    (AnalysisStatus.RUNNING, AnalysisStatus.FAILED): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    # A transient failure, or an expired lease.
    (AnalysisStatus.RUNNING, AnalysisStatus.REQUESTED): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
    (AnalysisStatus.REQUESTED, AnalysisStatus.REQUESTED): frozenset({Mover.SWEEP}),
    (AnalysisStatus.REQUESTED, AnalysisStatus.FAILED): frozenset({Mover.PROCESSOR, Mover.SWEEP}),
}


class LinkDownload(StrEnum):
    """What visitors of a share link may download, from nothing to the most."""

    NONE = "none"
    STRIPPED = "stripped"
    ORIGINAL = "original"


class LinkEnd(StrEnum):
    """Why a share link has ended."""

    DELETED = "deleted"
    EXPIRED = "expired"
    COLLECTION_DELETED = "collection-deleted"


class WebhookEnd(StrEnum):
    """Why nothing is sent to a webhook."""

    MANUAL = "manual"
    GONE = "gone"
    FAILING = "failing"


class WebhookDeliveryStatus(StrEnum):
    """States of a delivery to a webhook: it succeeded, used up its attempts, or ended with its endpoint."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ENDED = "ended"


class DeliveryKeyState(StrEnum):
    """The state of a delivery key: it signs and verifies, only verifies, or does neither."""

    ACTIVE = "active"
    VERIFYING = "verifying"
    RETIRED = "retired"


DELIVERY_KEY_TRANSITIONS: dict[tuple[DeliveryKeyState | None, DeliveryKeyState], frozenset[Mover]] = {
    # A trigger adds the first key of a team.
    (None, DeliveryKeyState.ACTIVE): frozenset({Mover.API}),
    # Another key signs from now on; addresses signed by this one remain valid.
    (DeliveryKeyState.ACTIVE, DeliveryKeyState.VERIFYING): frozenset({Mover.API}),
    (DeliveryKeyState.VERIFYING, DeliveryKeyState.RETIRED): frozenset({Mover.API}),
}


class OperationStatus(StrEnum):
    """Status of an operation: long work, item by item. The last three are final."""

    ESTIMATING = "estimating"
    """Its items are being found and counted."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """Every item was tried, whether or not it failed."""
    FAILED = "failed"
    """It could not go on."""
    CANCELLED = "cancelled"


UNDER_WAY = (OperationStatus.ESTIMATING, OperationStatus.RUNNING)
"""The states of an operation that begins new items, or will."""


class ItemState(StrEnum):
    """State of one item of an operation."""

    WAITING = "waiting"
    IN_PROGRESS = "in_progress"
    """Begun, and not over: the processor, or something else outside the database, works on it."""
    DONE = "done"
    FAILED = "failed"
