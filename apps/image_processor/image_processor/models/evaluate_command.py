"""`image-manager-admin evaluate` of `image_engine`, extended to models in a bucket."""

import argparse
from pathlib import Path

from image_engine.evaluation import command
from image_engine.models.model import Model, ModelRole


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `image-manager-admin`."""
    command.register(commands, _find_model)


async def _find_model(role: ModelRole, path: str, folder: Path, worker_memory_bytes: int) -> Model:
    from image_core.storage.gcs import GcsClient
    from image_processor.models.fetching import find_or_fetch_model

    gcs = GcsClient(None, None)
    try:
        return await find_or_fetch_model(role, path, gcs, folder, worker_memory_bytes)
    finally:
        await gcs.close()
