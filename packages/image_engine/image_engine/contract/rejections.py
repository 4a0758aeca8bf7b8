"""Reasons why a picture is not processed: permanent (`PictureRejected`) or transient (the other two)."""

import traceback
from typing import Literal, get_args

RejectionCode = Literal[
    "not-an-image",
    "image-format-not-allowed",
    "image-variant-not-supported",
    "image-dimensions-invalid",
    "image-too-many-pixels",
    "image-truncated",
    "image-undecodable",
    "picture-too-large",
    "picture-too-much-memory",
    "processing-timeout",
    "processing-crashed",
]

REJECTION_MESSAGES: dict[RejectionCode, str] = {
    "not-an-image": "The file has no known image format.",
    "image-format-not-allowed": "The format of the file is not supported.",
    "image-variant-not-supported": "The image uses an unsupported feature. Save it in another way and upload it again.",
    "image-dimensions-invalid": "The dimensions of the image are not valid.",
    "image-too-many-pixels": "The image has too many pixels. Scale it down and upload it again.",
    "image-truncated": "The image is incomplete. Upload the whole file.",
    "image-undecodable": "The image is damaged and cannot be decoded. Save it again and upload it.",
    "picture-too-large": "The file is too large. Upload a smaller one.",
    "picture-too-much-memory": "The image needs more memory than one image may use. Scale it down and upload it again.",
    "processing-timeout": "Processing the image exceeded the time limit.",
    "processing-crashed": "The image crashed its decoder.",
}


class PictureRejected(Exception):
    """The picture can never be processed as it is; a retry changes nothing.

    Attributes:
        code: stable, for programs.
        message: one sentence for people; it contains nothing of the picture's content.
    """

    def __init__(self, code: RejectionCode, message: str | None = None) -> None:
        self.code: RejectionCode = code
        self.message = message or REJECTION_MESSAGES[code]
        super().__init__(code, self.message)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def unsupported(variant: str) -> PictureRejected:
    """Return the rejection of an intact picture whose storage variant is unsupported."""
    return PictureRejected("image-variant-not-supported", f"Not supported: {variant}.")


class WorkerUnavailable(Exception):
    """No worker process could take the picture. It says nothing about the picture, so retry later."""


class WorkerInterrupted(Exception):
    """The worker was killed from outside, or hardly ran, while it had the picture: retry a limited number of times."""


def parse_rejection_code(value: object) -> RejectionCode:
    """Return a rejection code sent by a worker process; an unknown code means that the worker is compromised."""
    for code in get_args(RejectionCode):
        if code == value:
            return code  # type: ignore[no-any-return]
    return "processing-crashed"


def place_of(error: Exception) -> str:
    """Return where an error happened, without its message, which may quote the picture."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    lines = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames]
    return f"{type(error).__name__} at " + " < ".join(reversed(lines))
