import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_engine.evaluation import command
from image_engine.evaluation.dataset import DatasetInvalid, LabelledPicture, read_dataset
from image_engine.evaluation.figures import Answer, calibration, figures, interval
from image_engine.evaluation.report import as_text
from image_engine.testing.models import write_model
from image_engine.testing.pictures import png

COLORS = {"red": (250, 9, 9), "green": (9, 250, 9), "blue": (9, 9, 250)}


def plain(*color: int) -> bytes:
    return png(np.full((40, 60, 3), color, dtype=np.float64))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of each colour; one of the green ones is red."""
    for label, color in COLORS.items():
        (tmp_path / "pictures" / label).mkdir(parents=True)
        (tmp_path / "pictures" / label / "1.png").write_bytes(plain(*color))
        second = COLORS["red"] if label == "green" else color
        (tmp_path / "pictures" / label / "2.png").write_bytes(plain(*second))
    return tmp_path / "pictures"


def evaluate(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    options = parser.parse_args(["evaluate", *map(str, arguments)])
    options.run(options)


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    evaluate("--workers", 1, "--json", *arguments)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


class TestCommand:
    def test_model_is_judged_by_a_folder(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = evaluated(capsys, "--dataset", folder, "--model", write_model(tmp_path / "model"))
        assert (found["pictures"], found["accuracy"], found["failures"]) == (6, pytest.approx(5 / 6), {})
        assert found["confusion"] == [{"label": "green", "answer": "red", "pictures": 1}]
        assert found["labels"]["green"] == {"pictures": 2, "recall": 0.5, "precision": 1}
        assert found["labels"]["red"] == {"pictures": 2, "recall": 1, "precision": pytest.approx(2 / 3)}
        assert found["accuracy_of_best_five"] == 1
        (last,) = found["calibration"]["bins"]
        assert (last["pictures"], last["confidence"]) == (6, pytest.approx(250 / 255, abs=1e-3))
        assert 0 < found["seconds"]["median"] <= found["seconds"]["p95"]

    def test_analyzer_is_judged_by_a_table_and_what_is_no_picture_is_wrong(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "none.jpg").write_bytes(b"no picture")
        table = folder / "labels.csv"
        table.write_text("label,file\nwarm,red/1.png\ncool,blue/1.png\nwarm,none.jpg\n", encoding="utf-8-sig")
        found = evaluated(capsys, "--analyzer", "colors", "--dataset", table)
        assert (found["accuracy"], found["failures"]) == (pytest.approx(2 / 3), {"not-an-image": 1})
        assert found["confusion"] == [{"label": "warm", "answer": "(no answer)", "pictures": 1}]
        assert found["calibration"] is None

    def test_another_field_may_be_judged(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "grey.csv").write_text("file,label\nred/1.png,False\n")
        arguments = ("--analyzer", "colors", "--dataset", folder / "grey.csv", "--field", "grey")
        assert evaluated(capsys, *arguments)["accuracy"] == 1

    def test_model_that_cannot_be_used_is_told(self, folder: Path, tmp_path: Path) -> None:
        broken = write_model(tmp_path / "model", sha256="0" * 64)
        with pytest.raises(SystemExit, match="model-broken"):
            evaluate("--dataset", str(folder), "--model", str(broken))
        with pytest.raises(SystemExit, match="model-broken"):
            evaluate("--dataset", str(folder), "--model", str(write_model(tmp_path / "x", b"none")))

    def test_report_for_people_is_printed(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        evaluate("--analyzer", "colors", "--dataset", str(folder), "--workers", "1")
        assert "accuracy            0.000" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--field", "beauty"], "no field beauty"),
            (["--analyzer", "colors", "--model", "any"], "colors takes no model"),
            (["--dataset", "/no/such/folder"], "cannot be read"),
        ],
    )
    def test_what_cannot_be_judged_is_told(self, folder: Path, arguments: list[str], told: str) -> None:
        with pytest.raises(SystemExit, match=told):
            evaluate("--dataset", str(folder), *arguments)

    def test_other_commands_do_not_load_it(self) -> None:
        script = "import sys, image_engine.evaluation.command; print('image_engine.pool.pool' in sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert loaded.stdout == "False\n"


class TestDataset:
    def test_folders_are_labels(self, folder: Path) -> None:
        (folder / "red" / ".hidden").write_bytes(b"")
        (folder / "notes.txt").write_text("not a label")
        assert [(each.path.name, each.label) for each in read_dataset(folder)] == [
            (name, label) for label in sorted(COLORS) for name in ("1.png", "2.png")
        ]

    def test_names_in_a_table_are_beside_it(self, folder: Path) -> None:
        (folder / "labels.csv").write_text('file,label,note\n"red/1.png","a, b",x\n')
        assert read_dataset(folder / "labels.csv") == [LabelledPicture(folder / "red" / "1.png", "a, b")]

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("name,label\nred/1.png,red\n", "columns file and label"),
            ("file,label\nred/1.png,\n", "line 2: file or label is empty"),
            ("file,label\nred/1.png\n", "line 2: file or label is empty"),
            ("file,label\nred/1.png,red\nred/9.png,red\n", "line 3: there is no red/9.png"),
            ("file,label\n", "has no pictures"),
            ("", "columns file and label"),
        ],
    )
    def test_table_that_is_wrong_is_told_by_its_line(self, folder: Path, text: str, told: str) -> None:
        (folder / "labels.csv").write_text(text)
        with pytest.raises(DatasetInvalid, match=told):
            read_dataset(folder / "labels.csv")

    def test_folder_without_pictures_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetInvalid, match="has no pictures"):
            read_dataset(tmp_path)


class TestFigures:
    def test_interval_is_wilsons(self) -> None:
        assert interval(8, 10) == (pytest.approx(0.490, abs=1e-3), pytest.approx(0.943, abs=1e-3))
        assert interval(0, 10)[0] == pytest.approx(0, abs=1e-12)
        assert interval(10, 10)[1] == pytest.approx(1)

    def test_calibration_compares_what_is_said_with_what_is_right(self) -> None:
        answers = [Answer("a", (said,), confidence, 0.1) for said, confidence in
                   (("a", 0.95), ("a", 0.95), ("b", 0.95), ("b", 0.95), ("a", 0.55), ("b", 1.0))]  # fmt: skip
        found = calibration(answers)
        assert found is not None
        assert [(each["from"], each["pictures"], each["accuracy"]) for each in found["bins"]] == [
            (0.5, 1, 1),
            (0.9, 5, pytest.approx(0.4)),
        ]
        assert found["expected_error"] == pytest.approx((0.45 + 5 * (0.96 - 0.4)) / 6)

    def test_best_five_and_slowest_twentieth(self) -> None:
        answers = [Answer("f", tuple("abcdef"[index % 2 :]), 0.5, float(index)) for index in range(1, 41)]
        found = figures(answers)
        assert (found["accuracy"], found["accuracy_of_best_five"]) == (0, 0.5)
        assert found["seconds"] == {"median": 20.5, "p95": 38}

    def test_report_says_how_much_it_leaves_out(self) -> None:
        answers = [Answer(f"label {index}", ("none",), None, 0.1) for index in range(25)]
        text = as_text(figures(answers))
        assert "and 5 more kinds" in text
        assert "says no confidence" in text
