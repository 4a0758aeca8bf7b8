"""Bodies of the system's health."""

from enum import StrEnum

from pydantic import BaseModel, Field


class State(StrEnum):
    """How a part of the system is."""

    OK = "ok"
    WARNING = "warning"
    FAILING = "failing"


class Check(BaseModel):
    """The result of one check."""

    name: str = Field(description="Name of the check.")
    state: State = Field(description="`ok`, `warning`, or `failing`; a check that gives no answer in time is failing.")
    explanation: str = Field(description="What was found.")
    next_step: str | None = Field(description="What to do about it. Null if nothing is wrong.")


class SystemHealth(BaseModel):
    """The state of each part of the system, as this process sees it now."""

    state: State = Field(description="The worst state of all checks.")
    checks: list[Check] = Field(description="The checks, always in the same order.")
