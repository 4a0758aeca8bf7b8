"""Names of objects in storage. They are built and parsed only here."""

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID


class Bucket(StrEnum):
    """The role of a bucket. Its real name is a setting; its objects are below a prefix that equals the role."""

    ORIGINALS = "originals"
    DERIVATIVES = "derivatives"
    SCRATCH = "scratch"


DERIVATIVE_SUFFIX = ".webp"


class OriginalIds(NamedTuple):
    """The ids in the name of an original."""

    team_id: UUID
    image_id: UUID


def original_name(team_id: UUID, image_id: UUID) -> str:
    """Return the name under which the bytes of an image are stored."""
    return f"{Bucket.ORIGINALS}/{team_id}/{image_id}"


def parse_original_name(name: str) -> OriginalIds | None:
    """Return the ids in a name; None unless it is written exactly as `original_name` writes it."""
    prefix, *parts = name.split("/")
    if prefix != Bucket.ORIGINALS or len(parts) != 2:
        return None
    try:
        ids = OriginalIds(UUID(parts[0]), UUID(parts[1]))
    except ValueError:
        return None
    return ids if name == original_name(*ids) else None


def derivatives_folder(team_id: UUID, image_id: UUID) -> str:
    """Return the prefix of all derivatives of an image, of every generation."""
    return f"{Bucket.DERIVATIVES}/{team_id}/{image_id}/"


def claim_folder(team_id: UUID, image_id: UUID, generation: int, token: UUID) -> str:
    """Return the prefix of a claim's objects; it is unique per claim, so that a lost race overwrites nothing."""
    return f"{derivatives_folder(team_id, image_id)}{generation}-{token}/"


def derivative_name(folder: str, preset: str) -> str:
    """Return the name of a derivative in its claim's folder."""
    return f"{folder}{preset}{DERIVATIVE_SUFFIX}"


def rendition_name(folder: str, spec_hash: bytes, extension: str) -> str:
    """Return the name of a rendition in the folder of the attempt that made it."""
    return f"{folder}{spec_hash.hex()}.{extension}"


def scratch_name(team_id: UUID, object_id: UUID) -> str:
    """Return the name of a file that is stored only to be analyzed."""
    return f"{Bucket.SCRATCH}/{team_id}/{object_id}"
