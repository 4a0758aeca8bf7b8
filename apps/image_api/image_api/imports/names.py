"""What the name of an object in another system's bucket says: a filename, tags, and whether it is a resized copy."""

import re

from image_core.images import filenames

MOST_TAGS_FROM_FOLDERS = 20
_MAX_TAG_LENGTH = 64
# Firebase's extension "Resize Images" appends the size to the name of the original: photo_200x200.jpg
_RESIZED = re.compile(r"(?P<original>.+)_\d{1,5}x\d{1,5}(\.[A-Za-z0-9]{1,8})?")
# Credentials that Firebase keeps beside a file.
SECRET_METADATA = frozenset({"firebaseStorageDownloadTokens"})


def filename_of(name: str) -> str | None:
    """Return the filename in an object's name."""
    return filenames.clean(name.rpartition("/")[2]) or None


def tags_of(folders: str) -> list[str]:
    """Return the folders of a name, as tags."""
    parts = (part.strip()[:_MAX_TAG_LENGTH].strip() for part in folders.split("/")[:-1])
    return list(dict.fromkeys(part for part in parts if part))[:MOST_TAGS_FROM_FOLDERS]


def originals_of_resized(name: str) -> list[str]:
    """Return the beginnings of the names that the original of a resized copy may have; empty if it is none.

    The original lies in the same folder, or in the one above, where the extension was set to use a folder for copies.
    """
    folder, slash, last = name.rpartition("/")
    found = _RESIZED.fullmatch(last)
    if found is None:
        return []
    original = found["original"]
    above = folder.rpartition("/")[0]
    return [f"{folder}{slash}{original}.", *([f"{above}/{original}." if above else f"{original}."] if slash else [])]
