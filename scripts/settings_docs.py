"""Write docs/settings.md from the settings classes: `python scripts/settings_docs.py [--check]`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from image_api.settings import ApiSettings
from image_api.tasks.settings import TasksSettings
from image_core.admin import AdminSettings
from image_delivery.settings import DeliverySettings
from image_processor.settings import ProcessorSettings
from local_cloud.settings import EmulatorSettings

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"
GROUPS: dict[str, tuple[type[BaseSettings], str]] = {
    "image-api": (ApiSettings, "The HTTP API."),
    "image-delivery": (DeliverySettings, "The public service that answers delivery addresses with pictures."),
    "image-processor": (ProcessorSettings, "The service that receives Pub/Sub messages."),
    "image-tasks": (TasksSettings, "Housekeeping, called by Cloud Scheduler. It runs from the image of image-api."),
    "image-manager-admin": (
        AdminSettings,
        "The command for migrations, keys and repairs. It needs the rights of the schema's owner.",
    ),
    "emulators": (
        EmulatorSettings,
        "The emulators that replace Google Cloud on one machine and in `docker-compose.yml`.",
    ),
}
HEAD = """\
# Settings

All settings are environment variables, for example `RATE_LIMIT_PER_SECOND=100`. Write lists as JSON. You must set the
variables that are marked as required.

| where it runs | set them in |
|---|---|
| Google Cloud | Terraform |
| containers | `.env`, which `docker-compose.yml` reads (start from `.env.example`) |
| one machine | `image-manager up` sets what it needs, and passes on all other variables of its environment |

`scripts/settings_docs.py` generates this page from the settings classes.
"""


@dataclass(frozen=True)
class Setting:
    """One variable of one program; `default` is text as it stands in the environment, `None` where there is none."""

    name: str
    description: str
    default: str | None
    required: bool


def settings_of(settings_class: type[BaseSettings]) -> list[Setting]:
    """The variables that a settings class reads, in its order."""
    prefix = settings_class.model_config.get("env_prefix", "")
    return [
        Setting(
            name=(str(field.validation_alias) if field.validation_alias else f"{prefix}{name}").upper(),
            description=field.description or "",
            default=_as_text(field.get_default(call_default_factory=True, validated_data={})),
            required=field.is_required(),
        )
        for name, field in settings_class.model_fields.items()
    ]


def _as_text(value: Any) -> str | None:
    if value is None or value is PydanticUndefined:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return orjson.dumps(value).decode()
    return str(value)


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(_section(title, *group) for title, group in GROUPS.items())])


def _section(title: str, settings_class: type[BaseSettings], introduction: str) -> str:
    rows = [
        f"| `{setting.name}` | {_default(setting)} | {setting.description} |" for setting in settings_of(settings_class)
    ]
    return "\n".join(
        [f"## {title}\n", f"{introduction}\n", "| variable | default | meaning |", "|---|---|---|", *rows, ""]
    )


def _default(setting: Setting) -> str:
    if setting.required:
        return "**required**"
    return f"`{setting.default}`" if setting.default is not None else "none"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or only compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    if not options.check:
        PAGE.write_text(page())
        return 0
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    sys.stderr.write("docs/settings.md is out of date: run `python scripts/settings_docs.py`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
