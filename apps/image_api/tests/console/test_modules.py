"""The scripts of the console are typed: the compiler checks them as they are, and writes nothing."""

import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from ..npm_tools import install, npx

SOURCES = Path(__file__).parent / "module_types"


@pytest.mark.node
@pytest.mark.timeout(600)
def test_the_compiler_accepts_every_module(tmp_path: Path) -> None:
    install(SOURCES, tmp_path)
    static = Path(str(files("image_api.console"))) / "static"
    modules = [shutil.copy(module, tmp_path) for module in sorted(static.glob("*.js"))]
    assert modules
    npx(tmp_path, "tsc", "-p", ".")
