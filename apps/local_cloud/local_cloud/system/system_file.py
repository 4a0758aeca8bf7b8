"""`system.json`: what runs, at which addresses, and the admin key. It holds secrets; only its owner can read it."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from local_cloud.identity import write_private

FILE_NAME = "system.json"


@dataclass(frozen=True)
class SystemFile:
    """The addresses of a running system; `pids` is empty once it has been stopped."""

    url: str
    processor_url: str
    admin_api_key: str | None
    database_url: str
    storage_emulator_host: str
    pubsub_emulator_host: str
    tasks_url: str = ""
    delivery_url: str = ""
    emulators_url: str | None = None
    service_account_file: str | None = None
    pids: dict[str, int | None] = field(default_factory=dict)

    def write(self, data_dir: Path) -> None:
        """Write the file atomically, with mode 0600."""
        write_private(data_dir / FILE_NAME, json.dumps(asdict(self), indent=2))


def read_system_file(data_dir: Path) -> SystemFile | None:
    """Return what the last run wrote, or `None` if it cannot be read."""
    try:
        values = json.loads((data_dir / FILE_NAME).read_text())
        return SystemFile(**{item.name: values[item.name] for item in fields(SystemFile) if item.name in values})
    except (OSError, ValueError, TypeError):
        return None
