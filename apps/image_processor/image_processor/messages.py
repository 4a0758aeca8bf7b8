"""The messages that Pub/Sub pushes, and the notifications of Cloud Storage inside them."""

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from image_core.delivery.rendition_requests import FULL, PROCESSED_FORMAT, SOURCE
from image_core.delivery.spec import FORMATS, MOST_NAME_LENGTH, PRESET_NAME, RESERVED_NAMES, TRANSFORM_PREFIX, Format
from image_core.events import TRACE_ATTRIBUTE, EventType
from image_core.images.object_names import parse_original_name
from image_core.intake.envelope import PushMessage

FINALIZE = "OBJECT_FINALIZE"
_GENERATION = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_SPEC = re.compile(PRESET_NAME, re.ASCII)


class ObjectFinalized(NamedTuple):
    """A new object. `image_id` and `team_id` are null if its name is not one of ours."""

    bucket: str
    name: str
    generation: int
    team_id: UUID | None
    image_id: UUID | None
    trace_parent: str | None


class MalformedMessage(Exception):
    """A message that neither Cloud Storage nor one of our services would send."""


def object_finalized(message: PushMessage) -> ObjectFinalized | None:
    """Parse the new object of a message; return None for an event of another kind.

    Raises:
        MalformedMessage: Cloud Storage does not send such a message.
    """
    attributes = message.attributes
    event_type = attributes.get("eventType")
    if event_type is not None and event_type != FINALIZE:
        return None
    try:
        body = orjson.loads(base64.b64decode(message.data, validate=True)) if message.data else {}
        bucket = attributes.get("bucketId") or body["bucket"]
        name = attributes.get("objectId") or body["name"]
        generation = int(attributes.get("objectGeneration") or body["generation"])
    except (binascii.Error, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise MalformedMessage(type(error).__name__) from error
    if not _is_name(bucket) or not _is_name(name) or not 0 < generation < 2**63:
        raise MalformedMessage("bucket, name or generation")
    team_id, image_id = parse_original_name(name) or (None, None)
    return ObjectFinalized(bucket, name, generation, team_id, image_id, attributes.get(TRACE_ATTRIBUTE))


def _is_name(value: object) -> bool:
    """Return whether a value is a valid object name. Source: Cloud Storage documentation, "Object names"."""
    if not isinstance(value, str) or "\x00" in value:
        return False
    try:
        return 1 <= len(value.encode()) <= 1024
    except UnicodeEncodeError:
        return False


@contextmanager
def _reading(message: PushMessage) -> Iterator[Any]:
    """Yield the body of a message of our own services; what is not found there as expected makes it malformed.

    Raises:
        MalformedMessage: The body is not JSON, or the block that reads it fails.
    """
    try:
        yield orjson.loads(base64.b64decode(message.data, validate=True))
    except (binascii.Error, orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedMessage(type(error).__name__) from error


def analysis_requested(message: PushMessage) -> UUID:
    """Parse the id of the analysis that a message names.

    Raises:
        MalformedMessage: The message names no analysis.
    """
    with _reading(message) as body:
        return UUID(body["data"]["analysis_id"])


class RenditionRequested(NamedTuple):
    """A picture to make in the background; `spec` is the name of a preset, `full` or `source`."""

    image_id: UUID
    team_id: UUID
    generation: int
    spec: str
    format: Format
    trace_parent: str | None


def rendition_requested(message: PushMessage) -> RenditionRequested:
    """Parse the picture that a message asks for.

    Raises:
        MalformedMessage: None of our services sends such a message.
    """
    with _reading(message) as body:
        data = body["data"]
        image_id, team_id = UUID(body["image_id"]), UUID(body["team_id"])
        generation, spec, extension = data["generation"], data["spec"], data["format"]
        if not _GENERATION.fullmatch(generation) or int(generation) >= 2**63:
            raise MalformedMessage("generation")
        if extension not in FORMATS or not _is_spec(spec, extension):
            raise MalformedMessage("spec or format")
    trace_parent = message.attributes.get(TRACE_ATTRIBUTE)
    return RenditionRequested(image_id, team_id, int(generation), spec, extension, trace_parent)


class PresetRemoved(NamedTuple):
    """A preset that was removed, whose pictures are to be discarded.

    Attributes:
        team_id: its team.
        preset: its name.
        removed_at: what was made later belongs to another preset of this name.
        before: images with smaller ids remain.
    """

    team_id: UUID
    preset: str
    removed_at: datetime
    before: UUID


def preset_removed(message: PushMessage) -> PresetRemoved | None:
    """Parse the preset that was removed; return None for a message of another kind.

    Raises:
        MalformedMessage: None of our services sends such a message.
    """
    if message.attributes.get("event_type") != EventType.DISCARD_PRESET:
        return None
    with _reading(message) as body:
        data = body["data"]
        removed_at = datetime.fromisoformat(data["removed_at"])
        if removed_at.tzinfo is None or data["preset"] in RESERVED_NAMES or not _is_spec(data["preset"], "webp"):
            raise MalformedMessage("time or preset")
        return PresetRemoved(UUID(body["team_id"]), data["preset"], removed_at, UUID(data["before"]))


def _is_spec(spec: str, extension: Format) -> bool:
    """Return whether a name can be made in a format."""
    if spec in RESERVED_NAMES:
        return spec == FULL or (spec == SOURCE and extension == PROCESSED_FORMAT)
    is_name = _SPEC.fullmatch(spec) is not None and len(spec) <= MOST_NAME_LENGTH
    return is_name and not spec.startswith(TRANSFORM_PREFIX)
