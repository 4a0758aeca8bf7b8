"""The images, built once for each test process."""

import os
import shutil

import pytest

from .image_store import IMAGES, Image, ImageStore

TOOLS = ("buildah", "debootstrap", "crun")


@pytest.fixture(scope="session")
def store() -> ImageStore:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"These tests need {', '.join(missing)}: apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        pytest.fail("These tests make file systems and containers, which only root may do here.")
    return ImageStore.in_cache()


@pytest.fixture(scope="session")
def images(store: ImageStore) -> dict[str, Image]:
    return {name: store.build(name) for name in IMAGES}
