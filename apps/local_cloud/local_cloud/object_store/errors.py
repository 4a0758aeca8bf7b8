"""Errors of the object store, in the formats of the JSON and the XML API."""

import json
from xml.sax.saxutils import escape


class StoreError(Exception):
    """A refused request.

    Source: https://cloud.google.com/storage/docs/json_api/v1/status-codes and
    https://cloud.google.com/storage/docs/xml-api/reference-status.
    """

    def __init__(self, status: int, reason: str, xml_code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.xml_code = xml_code
        self.message = message

    def as_json(self) -> bytes:
        """Render the body for the JSON API."""
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        return json.dumps({"error": {"code": self.status, "message": self.message, "errors": [detail]}}).encode()

    def as_xml(self) -> bytes:
        """Render the body for the XML API."""
        return (
            "<?xml version='1.0' encoding='UTF-8'?>"
            f"<Error><Code>{self.xml_code}</Code><Message>{escape(self.message)}</Message></Error>"
        ).encode()


class ClientGoneError(Exception):
    """The client closed its connection before its request was complete."""


def no_such_bucket(bucket: str) -> StoreError:
    """Return the error for a bucket that does not exist."""
    return StoreError(404, "notFound", "NoSuchBucket", f"The specified bucket does not exist: {bucket}")


def no_such_object(bucket: str, name: str) -> StoreError:
    """Return the error for an object, or a generation of it, that does not exist."""
    return StoreError(404, "notFound", "NoSuchKey", f"No such object: {bucket}/{name}")


def no_such_session() -> StoreError:
    """Return the error for an upload session that never existed, or has expired."""
    return StoreError(404, "notFound", "NoSuchUpload", "The upload session does not exist.")


def session_gone() -> StoreError:
    """Return the error for a cancelled upload session."""
    return StoreError(410, "gone", "NoSuchUpload", "The upload session was cancelled.")


def precondition_failed() -> StoreError:
    """Return the error for a precondition that did not hold."""
    message = "At least one of the pre-conditions you specified did not hold."
    return StoreError(412, "conditionNotMet", "PreconditionFailed", message)


def not_modified() -> StoreError:
    """Return the error for a negative precondition of a read that did not hold; the response has no body."""
    return StoreError(304, "notModified", "NotModified", "Not modified.")


def invalid(message: str, xml_code: str = "InvalidArgument") -> StoreError:
    """Return the error for a malformed request."""
    return StoreError(400, "invalid", xml_code, message)


def forbidden(xml_code: str, message: str) -> StoreError:
    """Return the error for a request that its signature does not allow, or that lacks one."""
    return StoreError(403, "forbidden", xml_code, message)


def range_not_satisfiable(size_bytes: int) -> StoreError:
    """Return the error for a range outside the object."""
    message = f"The requested range cannot be satisfied: the object has {size_bytes} bytes."
    return StoreError(416, "requestedRangeNotSatisfiable", "InvalidRange", message)
