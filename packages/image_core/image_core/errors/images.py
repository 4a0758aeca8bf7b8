"""Images, their bytes, and the sources that they are fetched from."""

from image_core.errors.kinds import Conflict, Invalid, LimitExceeded, NotFound, Unavailable


class ImageNotFound(NotFound):
    """The image does not exist."""

    code = "image-not-found"


class DerivativeNotFound(NotFound):
    """The derivative does not exist."""

    code = "derivative-not-found"


class ImageNotStored(Conflict):
    """The bytes of this image have not arrived."""

    code = "image-not-stored"


class ImagePurged(Conflict):
    """The image is being purged and cannot be restored."""

    code = "image-purged"


class ImageNotReprocessable(Conflict):
    """The image cannot be processed again now."""

    code = "image-not-reprocessable"


class ImageNotComparable(Conflict):
    """The image cannot be compared with others yet."""

    code = "image-not-comparable"


class DuplicateExists(Conflict):
    """The team already has an image with these bytes."""

    code = "duplicate-exists"


class UploadEmpty(Invalid):
    """The body is empty."""

    code = "upload-empty"


class UploadTooLarge(Invalid):
    """The file is larger than allowed."""

    code = "upload-too-large"
    status = 413


class NotAnImage(Invalid):
    """The bytes are not an image."""

    code = "not-an-image"
    status = 415


class VariantNotSupported(Invalid):
    """The image is intact but uses an unsupported feature."""

    code = "image-variant-not-supported"
    status = 415


class FormatNotAllowed(Invalid):
    """Images in this format are not allowed."""

    code = "image-format-not-allowed"
    status = 415


class DimensionsInvalid(Invalid):
    """The image's dimensions are not valid."""

    code = "image-dimensions-invalid"


class TooManyPixels(Invalid):
    """The image has more pixels than allowed."""

    code = "image-too-many-pixels"


class MultipartInvalid(Invalid):
    """The multipart body is not valid."""

    code = "multipart-invalid"
    status = 400


class UploadIncomplete(Invalid):
    """The body ended before it was complete."""

    code = "upload-incomplete"
    status = 400


class UploadTooSlow(Invalid):
    """The body took too long to arrive."""

    code = "upload-too-slow"
    status = 408


class UploadExpired(Unavailable):
    """The upload took longer than its deadline."""

    code = "upload-expired"


class UploadNotFound(NotFound):
    """The upload does not exist."""

    code = "upload-not-found"


class UploadComplete(Conflict):
    """The upload is complete."""

    code = "upload-complete"


class TooManyOpenUploads(LimitExceeded):
    """Too many uploads of the team are open."""

    code = "too-many-open-uploads"


class DirectUploadsNotConfigured(NotFound):
    """This deployment accepts no direct uploads."""

    code = "direct-uploads-not-configured"


class SourceRefused(Invalid):
    """The source's URL may not be fetched."""

    code = "source-refused"


class SourceUnreachable(Invalid):
    """The source cannot be reached."""

    code = "source-unreachable"


class SourceTimeout(Invalid):
    """The source took too long."""

    code = "source-timeout"


class SourceAnswerUnusable(Invalid):
    """The response of the source cannot be used."""

    code = "source-answer-unusable"


class SourceTooLarge(Invalid):
    """The source's file is larger than allowed."""

    code = "source-too-large"


class SourceNotAnImage(Invalid):
    """The source's bytes are not an accepted image."""

    code = "source-not-an-image"


class RangeNotSatisfiable(Invalid):
    """The requested range does not exist."""

    code = "range-not-satisfiable"
    status = 416
