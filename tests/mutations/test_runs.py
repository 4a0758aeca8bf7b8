"""Runs over a small tree of packages, with tests of their own."""

import subprocess
from pathlib import Path

import pytest
from scripts.mutations import __main__ as mutations

QUERY = """
from sqlalchemy import column, select


def find():
    return select(column("id")).where(column("team_id") == 1)
"""
NARROWED, ALWAYS_GREEN, ALWAYS_RED = '"team_id" in str(queries.find())', "queries.find() is not None", "False"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Loading plugins that the tests of the tree do not need would take most of each run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--import-mode=importlib'\n")
    return tmp_path


def add_room(root: Path, name: str, asserted: str) -> None:
    package = root / "packages" / f"image_{name}"
    for folder in (package / f"image_{name}" / name, package / "tests" / name):
        folder.mkdir(parents=True)
    for folder in (package / f"image_{name}", package / f"image_{name}" / name):
        (folder / "__init__.py").touch()
    (package / f"image_{name}" / name / "queries.py").write_text(QUERY)
    imported = f"from image_{name}.{name} import queries\n"
    (package / "tests" / name / "test_queries.py").write_text(f"{imported}\n\ndef test_it():\n    assert {asserted}\n")


def test_a_room_whose_tests_are_red_is_skipped_and_the_others_are_tried(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_room(root, "first", ALWAYS_RED)
    add_room(root, "second", NARROWED)
    assert mutations.main(["--processes", "1"], root) == 1
    printed = capsys.readouterr().out
    assert "1 of 1 removals were noticed." in printed
    (skipped,) = {line for line in printed.splitlines() if mutations.SKIPPED in line}
    assert skipped.startswith("| packages/image_first/image_first/first/queries.py | 1 removals |")
    assert "test_queries.py::test_it is red without any removal" in skipped


@pytest.mark.parametrize(("asserted", "code"), [(NARROWED, 0), (ALWAYS_GREEN, 1)])
def test_a_removal_that_no_test_notices_fails_the_run(
    root: Path, capsys: pytest.CaptureFixture[str], asserted: str, code: int
) -> None:
    add_room(root, "only", asserted)
    assert mutations.main(["--processes", "1"], root) == code
    assert (mutations.SURVIVED in capsys.readouterr().out) is bool(code)
    assert (root / mutations.RESULTS).exists()


def test_tests_that_import_the_module_come_before_the_others_of_its_room(root: Path) -> None:
    add_room(root, "only", ALWAYS_GREEN)
    room = root / "packages/image_only/tests/only"
    (room / "test_above.py").write_text("def test_it(): ...\n")
    (root / "tests").mkdir()
    for name in ("test_across.py", "test_architecture.py"):
        (root / "tests" / name).write_text("from image_only.only import queries\n")
    tests = mutations.Tests(root).of_room(root / "packages/image_only/image_only/only/queries.py")
    assert [Path(each).name for each in tests] == ["test_queries.py", "test_across.py", "test_above.py"]
