"""A gRPC server with the method of Cloud Vision that is used, for its real client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from google.cloud.vision_v1 import types

Answer = types.AnnotateImageResponse | grpc.StatusCode | str


@dataclass
class VisionServer:
    """Gives the answers of `script` in turn, the last one for good; a status fails the call, `hang` never ends."""

    script: list[Answer] = field(default_factory=list)
    requests: list[types.AnnotateImageRequest] = field(default_factory=list)
    host: str = ""

    async def annotate(self, batch: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        self.requests += batch.requests
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "scripted")
        if answer == "hang":
            await asyncio.Event().wait()
        return types.BatchAnnotateImagesResponse(responses=[] if isinstance(answer, str) else [answer])


@asynccontextmanager
async def vision_server() -> AsyncIterator[VisionServer]:
    made, server = VisionServer(), grpc.aio.server()
    annotate = grpc.unary_unary_rpc_method_handler(
        made.annotate,
        request_deserializer=types.BatchAnnotateImagesRequest.deserialize,
        response_serializer=types.BatchAnnotateImagesResponse.serialize,
    )
    service = "google.cloud.vision.v1.ImageAnnotator"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"BatchAnnotateImages": annotate}),))
    made.host = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield made
    finally:
        await server.stop(None)


def fjord() -> types.AnnotateImageResponse:
    """What Cloud Vision says of a picture with a sign in it."""
    return types.AnnotateImageResponse(
        label_annotations=[
            {"description": "Mountain", "score": 0.91},
            {"description": "Fjord", "score": 0.97},
            {"description": "Boat", "score": 0.05},
        ],
        safe_search_annotation={"adult": 1, "spoof": 2, "medical": 3, "violence": 4, "racy": 5},
        text_annotations=[{"description": "Welcome\0 to\nGeiranger"}, {"description": "Welcome"}],
        landmark_annotations=[
            {
                "description": "Geirangerfjord",
                "score": 0.6,
                "locations": [{"lat_lng": {"latitude": 62.1, "longitude": 7.0}}],
            },
            {"description": "Preikestolen", "score": 0.2},
        ],
    )
