"""Imports of many images, and the buckets that they come from."""

from image_core.errors.kinds import Conflict, Forbidden, Invalid, NotFound


class ImportSourceNotFound(NotFound):
    """The import source does not exist."""

    code = "import-source-not-found"


class ImportSourceTaken(Conflict):
    """The team has an import source of this name."""

    code = "import-source-taken"


class SourceNotGranted(Forbidden):
    """The source is not granted to the team."""

    code = "source-not-granted"


class SourceNotReadable(Conflict):
    """The bucket of the source cannot be read."""

    code = "source-not-readable"


class SourceChanged(Conflict):
    """The source changed while it was copied."""

    code = "source-changed"


class TooManyLines(Invalid):
    """The import has too many lines."""

    code = "too-many-lines"


class LineInvalid(Invalid):
    """The line of the import is not valid."""

    code = "line-invalid"
