"""Request bodies of reconciliation."""

from pydantic import BaseModel, ConfigDict, Field


class NewReconciliation(BaseModel):
    """Comparison of the images in the database with the originals in storage."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"repair": False}]})

    min_age_hours: int = Field(
        24, ge=1, le=8760, description="Only what was stored longer ago is compared, so that nothing in progress is."
    )
    repair: bool = Field(False, description="Whether to repair what is found. Without it, it is only reported.")
