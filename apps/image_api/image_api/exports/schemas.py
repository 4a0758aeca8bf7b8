"""Request bodies of exports."""

from pydantic import BaseModel, ConfigDict, Field

from image_api.listing.matching import NamedFilters


class NewExport(BaseModel):
    """Images to export."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"filter": {"tag": ["fjord"]}}]})

    filter: NamedFilters = Field(
        description="Filters of `GET /api/v1/images` by name: what matches when the operation begins. Filters that can"
        ' be repeated take a list, and those on metadata have their whole names: `{"tag": ["fjord"], "meta[age][gte]":'
        " 18}`.",
    )
