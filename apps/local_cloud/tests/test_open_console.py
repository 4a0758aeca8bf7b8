"""`image-manager open` without a system that could sign somebody in."""

from pathlib import Path

import pytest
import typer

from local_cloud.commands import open_console
from local_cloud.ports import HOST, free_port
from local_cloud.system.system_file import SystemFile


def written(data_dir: Path, admin_api_key: str | None) -> None:
    url = f"http://{HOST}:{free_port()}"
    SystemFile(url, "", admin_api_key, "", "", "").write(data_dir)


@pytest.mark.parametrize("state", ["never started", "key unknown", "stopped"])
def test_without_a_running_system_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    if state != "never started":
        written(tmp_path, None if state == "key unknown" else "im_00000000_key")
    with pytest.raises(typer.Exit) as exit_:
        open_console(tmp_path)
    assert exit_.value.exit_code == 1
    assert "image-manager up" in capsys.readouterr().err
