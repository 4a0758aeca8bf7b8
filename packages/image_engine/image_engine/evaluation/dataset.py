"""Datasets of labelled pictures: a folder with a folder per label, or a CSV file."""

import csv
from pathlib import Path
from typing import NamedTuple

_COLUMNS = ("file", "label")


class LabelledPicture(NamedTuple):
    """One picture; `label` is the exact text that the analyzer should answer."""

    path: Path
    label: str


class DatasetInvalid(Exception):
    """The dataset is not valid; the message says why."""


def read_dataset(path: Path) -> list[LabelledPicture]:
    """List the pictures of a dataset, without opening them.

    Raises:
        DatasetInvalid: It is neither a folder of folders nor a CSV file, or names files that do not exist.
    """
    pictures = _of_folders(path) if path.is_dir() else _of_csv(path)
    if not pictures:
        raise DatasetInvalid(f"{path} has no pictures: it must hold a folder for each label, or be a CSV file.")
    return pictures


def _of_folders(path: Path) -> list[LabelledPicture]:
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    return [
        LabelledPicture(file, folder.name)
        for folder in folders
        for file in sorted(folder.iterdir())
        if file.is_file() and not file.name.startswith(".")
    ]


def _of_csv(path: Path) -> list[LabelledPicture]:
    """Read file names relative to the CSV file. Spreadsheets write a byte order mark."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if not set(_COLUMNS) <= set(rows.fieldnames or ()):
                raise DatasetInvalid(f"{path} needs a first line with the columns file and label.")
            return [_labelled(path, row, rows.line_num) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetInvalid(f"{path} cannot be read: {error}") from error


def _labelled(path: Path, row: dict[str, str | None], line: int) -> LabelledPicture:
    name, label = (row[column] for column in _COLUMNS)
    if not name or not label:
        raise DatasetInvalid(f"{path}, line {line}: file or label is empty.")
    picture = path.parent / name
    if not picture.is_file():
        raise DatasetInvalid(f"{path}, line {line}: there is no {name}.")
    return LabelledPicture(picture, label)
