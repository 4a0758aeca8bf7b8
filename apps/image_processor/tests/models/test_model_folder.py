import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_processor.models.folder import model_folder

KILLED = """
import os
from image_processor.models.folder import model_folder
with model_folder() as folder:
    (folder / "model.onnx").write_bytes(b"x")
    os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_a_folder_goes_with_its_block(temporary: Path) -> None:
    with model_folder() as folder:
        (folder / "model.onnx").write_bytes(b"x")
        assert [*temporary.iterdir()] == [folder]
    assert [*temporary.iterdir()] == []


def test_what_a_killed_processor_left_is_removed_by_the_next(temporary: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED], check=False, timeout=20)
    (left,) = temporary.iterdir()
    with model_folder() as folder:
        assert [*temporary.iterdir()] == [folder]
    assert not left.exists()


def test_the_folder_of_a_living_processor_stays(temporary: Path) -> None:
    with model_folder() as first, model_folder() as second:
        assert set(temporary.iterdir()) == {first, second}


def test_what_is_not_ours_stays(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_bytes(b"x")
    (temporary / "model-of-somebody").mkdir()
    (temporary / "image-processor-model-link").symlink_to(elsewhere)
    with model_folder():
        pass
    assert (elsewhere / "kept").exists()
    assert (temporary / "model-of-somebody").exists()
