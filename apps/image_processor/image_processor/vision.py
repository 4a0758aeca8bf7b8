"""Labels, safe search, text and landmarks from Cloud Vision, for teams that chose it.

Only a reduced picture without metadata leaves the deployment. Transient failures are retried here for a while and then
left to the queue; permanent ones become a refusal.
"""

import asyncio
from typing import Any

from image_core.analyses.catalogue import VISION_MODEL
from image_core.analyses.results import Label, LabelModel, LabelsParameters, LabelsResult, Landmark, SafeSearch
from image_engine.contract.presets import bounded

# Large enough for text (at least 1024 by 768), far below 20 MB per picture. Source: Cloud Vision, "Supported images".
VISION_PRESET = bounded("vision", 1600, animated=False, quality=90)
NOTICE = "From Google Cloud Vision: the picture was sent there, reduced and without metadata."

_MAX_TEXT_LENGTH = 20_000
_LIKELIHOODS = ("unknown", "very-unlikely", "unlikely", "possible", "likely", "very-likely")
# Transient codes in a picture's response: deadline, quota, internal, unavailable. Source: google.rpc.Code.
_TRANSIENT_CODES = frozenset({4, 8, 13, 14})


class VisionUnavailable(Exception):
    """Cloud Vision does not respond, or its quota is used up."""


class VisionRefused(Exception):
    """Cloud Vision rejects this request permanently; the message is for the log."""


class CloudVision:
    """The client, which is imported at the first use."""

    def __init__(
        self, endpoint: str, emulator_host: str | None, *, attempt_seconds: float = 10.0, total_seconds: float = 25.0
    ) -> None:
        self._endpoint, self._emulator_host = endpoint, emulator_host
        self._attempt_seconds, self._total_seconds = attempt_seconds, total_seconds
        self._client: Any = None

    async def label(self, content: bytes, parameters: LabelsParameters) -> LabelsResult:
        """Annotate one picture.

        Raises:
            VisionUnavailable: Cloud Vision does not respond, or not now.
            VisionRefused: The API is disabled, access is denied, or the picture is rejected.
        """
        await asyncio.to_thread(_load)
        import google.auth.exceptions
        from google.api_core import exceptions as api
        from google.cloud.vision_v1 import types

        kinds = types.Feature.Type
        features = [
            types.Feature(type_=kinds.LABEL_DETECTION, max_results=parameters.max_labels),
            types.Feature(type_=kinds.SAFE_SEARCH_DETECTION),
            types.Feature(type_=kinds.TEXT_DETECTION),
            types.Feature(type_=kinds.LANDMARK_DETECTION),
        ]
        request = types.AnnotateImageRequest(image=types.Image(content=content), features=features)
        transient = (
            api.RetryError, api.ServerError, api.TooManyRequests, google.auth.exceptions.TransportError, TimeoutError,
            OSError,
        )  # fmt: skip
        try:
            return _result(await self._annotate(request), parameters)
        except transient as error:
            raise VisionUnavailable(type(error).__name__) from error
        except (api.GoogleAPIError, google.auth.exceptions.GoogleAuthError) as error:
            raise VisionRefused(type(error).__name__) from error

    async def _annotate(self, request: Any) -> Any:
        from google.api_core import exceptions as api
        from google.api_core.retry import AsyncRetry, if_exception_type
        from google.api_core.timeout import ConstantTimeout

        if self._client is None:
            self._client = self._connect()
        retry = AsyncRetry(
            predicate=if_exception_type(api.ServerError, api.TooManyRequests), initial=0.3, maximum=3.0, multiplier=2.0,
            timeout=self._total_seconds,
        )  # fmt: skip
        async with asyncio.timeout(self._total_seconds + self._attempt_seconds):
            answered = await self._client.batch_annotate_images(
                requests=[request],
                retry=retry,
                timeout=ConstantTimeout(self._attempt_seconds),  # type: ignore[no-untyped-call]
            )
        if len(answered.responses) != 1:
            raise VisionUnavailable("no answer for the picture")
        (response,) = answered.responses
        if response.error.code in _TRANSIENT_CODES:
            raise VisionUnavailable(f"code {response.error.code}")
        if response.error.code:
            raise VisionRefused(f"code {response.error.code}")
        return response

    def _connect(self) -> Any:
        import grpc.aio
        from google.api_core.client_options import ClientOptions
        from google.cloud.vision_v1 import ImageAnnotatorAsyncClient
        from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcAsyncIOTransport

        if self._emulator_host:
            channel = grpc.aio.insecure_channel(self._emulator_host)
            return ImageAnnotatorAsyncClient(transport=ImageAnnotatorGrpcAsyncIOTransport(channel=channel))
        return ImageAnnotatorAsyncClient(client_options=ClientOptions(api_endpoint=self._endpoint))

    async def close(self) -> None:
        """Close the channel."""
        if self._client is not None:
            await self._client.transport.close()


def _load() -> None:
    """Import the client, which takes a second the first time."""
    import google.cloud.vision_v1  # noqa: F401


def _result(response: Any, parameters: LabelsParameters) -> LabelsResult:
    found = [
        Label(label=annotation.description[:200], score=_share(annotation.score))
        for annotation in response.label_annotations
        if annotation.score >= parameters.min_score
    ]
    found.sort(key=lambda label: (-label.score, label.label))
    # The first annotation is the whole text, the others are its words. PostgreSQL cannot store NUL characters.
    text = response.text_annotations[0].description.replace("\0", "") if response.text_annotations else ""
    safe = response.safe_search_annotation
    return LabelsResult(
        labels=found[: parameters.max_labels],
        model=LabelModel.model_validate(VISION_MODEL),
        source="vision",
        notice=NOTICE,
        safe_search=SafeSearch.model_validate(
            {name: _LIKELIHOODS[getattr(safe, name)] for name in SafeSearch.model_fields}
        ),
        text=text[:_MAX_TEXT_LENGTH] or None,
        landmarks=[_landmark(annotation) for annotation in response.landmark_annotations],
    )


def _landmark(annotation: Any) -> Landmark:
    place = annotation.locations[0].lat_lng if annotation.locations else None
    return Landmark(
        name=annotation.description[:200],
        score=_share(annotation.score),
        latitude=place.latitude if place else None,
        longitude=place.longitude if place else None,
    )


def _share(score: float) -> float:
    return min(max(score, 0.0), 1.0)
