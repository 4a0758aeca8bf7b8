"""Analyses of pictures."""

from image_core.errors.kinds import Conflict, Invalid, NotFound, Unavailable


class AnalyzerUnknown(Invalid):
    """The analyzer does not exist."""

    code = "analyzer-unknown"


class AnalysisNotFound(NotFound):
    """The analysis does not exist."""

    code = "analysis-not-found"


class ImageNotReady(Conflict):
    """The image is not ready."""

    code = "image-not-ready"


class ImageNotDecodable(Invalid):
    """The image cannot be decoded."""

    code = "image-not-decodable"


class ModelMissing(Unavailable):
    """The model of this analyzer is missing."""

    code = "model-missing"


class ModelBroken(Unavailable):
    """The model of this analyzer cannot be used."""

    code = "model-broken"


class VisionNotEnabled(Conflict):
    """Cloud Vision is not enabled here."""

    code = "vision-not-enabled"


class VisionRefused(Unavailable):
    """Cloud Vision refused the request."""

    code = "vision-refused"


class AnalyzerFailed(Unavailable):
    """The analyzer failed."""

    code = "analyzer-failed"
