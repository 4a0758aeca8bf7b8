"""Imports of many images, and the buckets that they come from."""

from image_core.errors.kinds import Conflict, Forbidden, NotFound


class ImportSourceNotFound(NotFound):
    """The import source does not exist."""

    code = "import-source-not-found"


class ImportSourceTaken(Conflict):
    """The team has an import source of this name."""

    code = "import-source-taken"


class SourceNotGranted(Forbidden):
    """The source is not granted to the team."""

    code = "source-not-granted"
