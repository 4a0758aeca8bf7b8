"""`up` with stand-ins for migrations and services: `stand_in_system.py DATA_DIR [migration's exit status]`."""

import os
import sys
from pathlib import Path

from local_cloud import commands
from local_cloud.errors import NotReadyInTime
from local_cloud.postgres.database import DatabaseUrls
from local_cloud.system import admin_key, supervisor
from local_cloud.system.children import ChildSpec
from local_cloud.system.environment import Layout, service_environment

SERVICE = str(Path(__file__).with_name("stand_in_service.py"))
MIGRATION_STATUS = sys.argv[2] if len(sys.argv) > 2 else "0"


def migration_spec(layout: Layout, urls: DatabaseUrls) -> ChildSpec:
    command = [sys.executable, SERVICE, "0", MIGRATION_STATUS]
    return ChildSpec("migrations", command, service_environment(layout, urls.owner))


def service_specs(layout: Layout, urls: DatabaseUrls) -> list[ChildSpec]:
    ports = {
        "image_processor": layout.processor_port,
        "image_tasks": layout.tasks_port,
        "image_delivery": layout.delivery_port,
        "image_api": layout.api_port,
    }
    return [
        ChildSpec(
            name,
            [sys.executable, SERVICE, str(port)],
            service_environment(layout, urls.api),
            f"http://127.0.0.1:{port}/health/ready",
        )
        for name, port in ports.items()
    ]


def check_upload(*_: object) -> None:
    if "UPLOAD_FAILS" in os.environ:
        raise NotReadyInTime("An upload did not go through.")


if __name__ == "__main__":
    replacements = {"migration_spec": migration_spec, "service_specs": service_specs}
    for name, replacement in replacements.items():
        setattr(supervisor, name, replacement)
    # Nothing here could process an upload.
    vars(supervisor)["check_upload"] = check_upload
    vars(admin_key)["bootstrap"] = lambda _layout, _urls: "im_stand-in"
    commands.up(
        port=int(os.environ.get("UP_PORT", "0")),
        data_dir=Path(sys.argv[1]),
        reset=False,
        yes=False,
        demo=False,
        demo_images=None,
    )
