"""What metadata are made of: names, and values that come back as they were sent."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

MAX_METADATA_KEYS = 50
MAX_VALUE_LENGTH = 512

MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
MetadataText = Annotated[str, StringConstraints(max_length=MAX_VALUE_LENGTH, pattern=r"^[^\x00]*$")]


def _no_integer(value: Any) -> Any:
    # A whole number that is too large would come back as another one.
    if isinstance(value, int):
        raise ValueError("whole numbers lie between -2**53 and 2**53")  # noqa: TRY004 (pydantic takes only this)
    return value


WholeNumber = Annotated[int, Field(ge=-(2**53), le=2**53)]
OtherNumber = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_no_integer)]
MetadataValue = MetadataText | WholeNumber | OtherNumber | bool
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA_KEYS)]
