"""Analyses of pictures."""

from image_core.errors.kinds import Conflict, Invalid, NotFound, Unavailable


class AnalyzerUnknown(Invalid):
    """There is no such analyzer."""

    code = "analyzer-unknown"


class AnalysisNotFound(NotFound):
    """There is no such analysis."""

    code = "analysis-not-found"


class ImageNotReady(Conflict):
    """The image cannot be analysed yet."""

    code = "image-not-ready"


class ImageNotDecodable(Invalid):
    """The image cannot be decoded."""

    code = "image-not-decodable"


class ModelMissing(Unavailable):
    """The model of this analyzer is not there."""

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
    """The analyzer did not come through."""

    code = "analyzer-failed"
