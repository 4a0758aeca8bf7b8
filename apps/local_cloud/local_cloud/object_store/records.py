"""Buckets, objects and preconditions as plain values."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from local_cloud.object_store.errors import invalid, no_such_object, not_modified, precondition_failed

# Fields that a client may set. Source: https://cloud.google.com/storage/docs/json_api/v1/objects#resource
WRITABLE = (
    "contentType",
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "customTime",
    "metadata",
    "storageClass",
)


@dataclass(frozen=True)
class Bucket:
    """A bucket; `topic` is the destination of its OBJECT_FINALIZE notifications, if any.

    What is deleted in it can be restored for `soft_delete_seconds`.
    """

    name: str
    versioning: bool
    topic: str | None
    created_at: str
    soft_delete_seconds: int = 0

    def resource(self, base_url: str) -> dict[str, Any]:
        """Render it as the JSON API does."""
        return {
            "kind": "storage#bucket",
            "id": self.name,
            "name": self.name,
            "selfLink": f"{base_url}/storage/v1/b/{self.name}",
            "location": "EUROPE-WEST1",
            "locationType": "region",
            "storageClass": "STANDARD",
            "metageneration": "1",
            "etag": "CAE=",
            "timeCreated": self.created_at,
            "updated": self.created_at,
            "versioning": {"enabled": self.versioning},
            "softDeletePolicy": {"retentionDurationSeconds": str(self.soft_delete_seconds)},
            "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
        }


@dataclass(frozen=True)
class Content:
    """Bytes stored completely in the file `file_name` of the blob folder."""

    file_name: str
    size_bytes: int
    md5: str
    crc32c: str


@dataclass(frozen=True)
class StoredObject:
    """One generation of an object; `deleted_at` is set once it is noncurrent.

    `soft_deleted_at` and `hard_delete_at` are set while it is soft-deleted.
    """

    bucket: str
    name: str
    generation: int
    metageneration: int
    content: Content
    attributes: dict[str, Any]
    created_at: str
    updated_at: str
    deleted_at: str | None
    soft_deleted_at: str | None = None
    hard_delete_at: str | None = None

    @property
    def etag(self) -> str:
        """An opaque value that changes with the bytes and with the metadata."""
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    @property
    def content_type(self) -> str:
        """The content type, or the service's default."""
        return str(self.attributes.get("contentType") or "application/octet-stream")

    def resource(self, base_url: str) -> dict[str, Any]:
        """Render it as the JSON API does. Source: the `objects` resource representation."""
        path = f"/storage/v1/b/{self.bucket}/o/{quote(self.name, safe='')}"
        rendered = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": base_url + path,
            "mediaLink": f"{base_url}/download{path}?generation={self.generation}&alt=media",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "storageClass": "STANDARD",
            "size": str(self.content.size_bytes),
            "md5Hash": self.content.md5,
            "crc32c": self.content.crc32c,
            "etag": self.etag,
            "timeCreated": self.created_at,
            "updated": self.updated_at,
            "timeStorageClassUpdated": self.created_at,
            **self.attributes,
        }
        times = {
            "timeDeleted": self.deleted_at,
            "softDeleteTime": self.soft_deleted_at,
            "hardDeleteTime": self.hard_delete_at,
        }
        return rendered | {name: time for name, time in times.items() if time is not None}


@dataclass(frozen=True)
class Preconditions:
    """The preconditions of a request; a generation of zero means that there must be no live object."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "Preconditions":
        """Parse the JSON API's parameters."""
        return cls(
            _number(query, "ifGenerationMatch"),
            _number(query, "ifGenerationNotMatch"),
            _number(query, "ifMetagenerationMatch"),
            _number(query, "ifMetagenerationNotMatch"),
        )

    @classmethod
    def of_source(cls, query: Mapping[str, str]) -> "Preconditions":
        """Parse the JSON API's parameters about the source of a copy."""
        return cls(
            _number(query, "ifSourceGenerationMatch"),
            _number(query, "ifSourceGenerationNotMatch"),
            _number(query, "ifSourceMetagenerationMatch"),
            _number(query, "ifSourceMetagenerationNotMatch"),
        )

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> "Preconditions":
        """Parse the XML API's headers."""
        return cls(
            generation_match=_number(headers, "x-goog-if-generation-match"),
            metageneration_match=_number(headers, "x-goog-if-metageneration-match"),
        )

    def check_write(self, live: StoredObject | None) -> None:
        """Raise 412 if `live` must not be overwritten."""
        if not (self._positive_hold(live) and self._negative_hold(live)):
            raise precondition_failed()

    def check_read(self, found: StoredObject) -> None:
        """Raise 412 or 304 if the preconditions do not hold for `found`."""
        if not self._positive_hold(found):
            raise precondition_failed()
        if not self._negative_hold(found):
            raise not_modified()

    def _positive_hold(self, live: StoredObject | None) -> bool:
        generation = live.generation if live else 0
        metageneration = live.metageneration if live else None
        return (self.generation_match is None or self.generation_match == generation) and (
            self.metageneration_match is None or self.metageneration_match == metageneration
        )

    def _negative_hold(self, live: StoredObject | None) -> bool:
        generation = live.generation if live else 0
        metageneration = live.metageneration if live else None
        return (self.generation_not_match is None or self.generation_not_match != generation) and (
            self.metageneration_not_match is None or self.metageneration_not_match != metageneration
        )


@dataclass(frozen=True)
class UploadTarget:
    """The destination and the conditions of an upload, known before its bytes arrive."""

    bucket: str
    name: str
    attributes: dict[str, Any] = field(default_factory=dict)
    preconditions: Preconditions = Preconditions()
    md5: str | None = None
    crc32c: str | None = None
    min_bytes: int = 0
    max_bytes: int | None = None
    origin: str | None = None

    def check_content(self, content: Content) -> None:
        """Raise 400 if the bytes are not those that the client announced."""
        if content.size_bytes < self.min_bytes:
            raise invalid(f"Your proposed upload is smaller than {self.min_bytes} bytes.", "EntityTooSmall")
        for name, announced, computed in (("MD5", self.md5, content.md5), ("CRC32C", self.crc32c, content.crc32c)):
            if announced is not None and announced != computed:
                message = f"Provided {name} hash '{announced}' doesn't match calculated {name} hash '{computed}'."
                raise invalid(message, "BadDigest")


def found_or_404(found: StoredObject | None, bucket: str, name: str) -> StoredObject:
    """Return the object, or raise 404."""
    if found is None:
        raise no_such_object(bucket, name)
    return found


def _number(values: Mapping[str, str], name: str) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise invalid(f"Invalid value for {name}: {text}") from None
