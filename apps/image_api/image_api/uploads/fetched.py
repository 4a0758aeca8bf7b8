"""A file that the service fetches from a URL, behind the interface of an upload."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from image_api.fetching import source_url
from image_api.fetching.guarded_fetch import GuardedFetcher
from image_api.uploads import receiving
from image_api.uploads.fields import UploadSource
from image_core import errors
from image_core.images import filenames
from image_core.settings import UploadLimitSettings

# Fetching ends before the time limit of receiving, so that a slow source is not reported as a slow upload.
_MARGIN_SECONDS = receiving.RECEIPT_MARGIN_SECONDS + 1


class FetchingParts(Protocol):
    """What fetching needs of the API's services, or of the parts of image-tasks."""

    @property
    def settings(self) -> UploadLimitSettings: ...

    @property
    def fetcher(self) -> GuardedFetcher: ...


@dataclass
class _FetchedSource:
    body: AsyncIterator[bytes]
    raw_fields: dict[str, Any]
    ended: bool = False
    declared_bytes: int | None = None

    def chunks(self) -> AsyncIterator[bytes]:
        return self.body


@asynccontextmanager
async def fetch_source(
    services: FetchingParts, team_id: UUID, url: str, fields: dict[str, Any]
) -> AsyncIterator[UploadSource]:
    """Yield a file from a URL that a caller named.

    Errors that the block raises about the file are translated into errors of the source. If the fields name no file,
    the source's Content-Disposition does, or else the URL. It also raises the errors of `GuardedFetcher.chunks`.

    Raises:
        errors.SourceNotAnImage: The source's bytes are not an accepted image.
        errors.StorageUnavailable: Object storage does not respond.
    """
    settings = services.settings
    seconds = min(settings.fetch_deadline_seconds, settings.upload_deadline_seconds - _MARGIN_SECONDS)
    named = fields.get("filename") is not None
    if not named:
        fields["filename"] = source_url.parse(url).filename

    def use_name(disposition: str) -> None:
        if not named and (name := filenames.from_disposition(disposition)):
            fields["filename"] = name

    body = services.fetcher.chunks(url, settings.upload_max_bytes, seconds, use_name, caller=team_id)
    try:
        async with aclosing(body):
            yield _FetchedSource(body, fields)
    except errors.UploadEmpty as error:
        raise errors.SourceNotAnImage(
            "The source's file is empty. Send the URL of an image.", allowed_formats=settings.image_formats
        ) from error
    except (errors.NotAnImage, errors.FormatNotAllowed, errors.VariantNotSupported) as error:
        raise errors.SourceNotAnImage(error.detail, **error.extra) from error
    except errors.UploadTooSlow as error:
        raise errors.StorageUnavailable("The image could not be stored in time. Try again.") from error
