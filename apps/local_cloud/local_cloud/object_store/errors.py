"""Refusals of the object store, in the shapes that the JSON and the XML API give them."""

import json
from xml.sax.saxutils import escape


class StoreError(Exception):
    """A request that is refused.

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
        """Render the body that the JSON API answers."""
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        return json.dumps({"error": {"code": self.status, "message": self.message, "errors": [detail]}}).encode()

    def as_xml(self) -> bytes:
        """Render the body that the XML API answers."""
        return (
            "<?xml version='1.0' encoding='UTF-8'?>"
            f"<Error><Code>{self.xml_code}</Code><Message>{escape(self.message)}</Message></Error>"
        ).encode()


class ClientGoneError(Exception):
    """The client closed its connection before its request was complete."""


def no_such_bucket(bucket: str) -> StoreError:
    """The bucket does not exist."""
    return StoreError(404, "notFound", "NoSuchBucket", f"The specified bucket does not exist: {bucket}")


def no_such_object(bucket: str, name: str) -> StoreError:
    """The object, or that generation of it, does not exist."""
    return StoreError(404, "notFound", "NoSuchKey", f"No such object: {bucket}/{name}")


def no_such_session() -> StoreError:
    """The upload session was never there, or is older than the store remembers."""
    return StoreError(404, "notFound", "NoSuchUpload", "The upload session does not exist.")


def session_gone() -> StoreError:
    """The upload session was cancelled."""
    return StoreError(410, "gone", "NoSuchUpload", "The upload session was cancelled.")


def precondition_failed() -> StoreError:
    """One of the preconditions did not hold."""
    message = "At least one of the pre-conditions you specified did not hold."
    return StoreError(412, "conditionNotMet", "PreconditionFailed", message)


def not_modified() -> StoreError:
    """A negative precondition of a read did not hold; the answer has no body."""
    return StoreError(304, "notModified", "NotModified", "Not modified.")


def invalid(message: str, xml_code: str = "InvalidArgument") -> StoreError:
    """The request makes no sense as it stands."""
    return StoreError(400, "invalid", xml_code, message)


def forbidden(xml_code: str, message: str) -> StoreError:
    """The request is not allowed by a signature, or has none where one is needed."""
    return StoreError(403, "forbidden", xml_code, message)


def range_not_satisfiable(size_bytes: int) -> StoreError:
    """No byte of the object lies within the range that was asked for."""
    message = f"The requested range cannot be satisfied: the object has {size_bytes} bytes."
    return StoreError(416, "requestedRangeNotSatisfiable", "InvalidRange", message)
