"""Publishing to Google Cloud Pub/Sub."""

import asyncio
from collections.abc import Sequence
from typing import Any

from image_core import errors
from image_core.events import Message, Topic


class PubSubPublisher:
    """A publisher to Google Cloud Pub/Sub on its asyncio client: a publish can be awaited, timed and cancelled."""

    def __init__(self, project: str, topics: dict[Topic, str], emulator_host: str | None) -> None:
        self._paths = {role: f"projects/{project}/topics/{name}" for role, name in topics.items()}
        self._emulator_host = emulator_host
        self._client: Any = None

    def warm(self) -> None:
        """Import the client, which takes a third of a second; call it in a thread."""
        import google.pubsub_v1  # noqa: F401

    def _connect(self) -> Any:
        import grpc.aio
        from google.pubsub_v1 import PublisherAsyncClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport

        if self._emulator_host:
            channel = grpc.aio.insecure_channel(self._emulator_host)
            return PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
        return PublisherAsyncClient()

    async def publish(self, topic: Topic, messages: Sequence[Message], timeout_seconds: float) -> None:
        import google.auth.exceptions
        import grpc
        from google.api_core.exceptions import GoogleAPIError
        from google.pubsub_v1.types import PubsubMessage

        if self._client is None:
            self._client = self._connect()
        batch = [PubsubMessage(data=message.data, attributes=message.attributes) for message in messages]
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._client.publish(
                    topic=self._paths[topic], messages=batch, timeout=timeout_seconds, retry=None
                )
        except (GoogleAPIError, grpc.RpcError, google.auth.exceptions.GoogleAuthError, TimeoutError, OSError) as error:
            raise errors.MessagingUnavailable("Pub/Sub does not respond. Try again.") from error

    async def close(self) -> None:
        """Close the channel."""
        if self._client is not None:
            await self._client.transport.close()
