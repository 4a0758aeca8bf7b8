"""The system as everybody outside sees it is as it was recorded: answers, messages, rows, document and settings.

`WIRE_RECORD=1 pytest tests/wire` writes the recording anew; what of it changed shows in the diff of the commit.
Only the texts for people, in `words.json`, are apart, so that a change of words shows as nothing but that.
"""

import difflib
import os
from pathlib import Path
from typing import Any

import pytest

from ..acceptance.up_process import remove_database, up
from .conversation import Conversation, pictures_served
from .layout import as_text
from .outside import Subscription, document, settings

RECORDED = Path(__file__).parent / "recorded"
PARTS = ("exchanges", "words", "messages", "rows", "openapi", "settings")
MOST_DIFF_LINES = 200

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
async def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What this system answers."""
    # Housekeeping comes at times of its own, and is left out.
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("EMULATORS_SWEEP_SECONDS", "0")
        data_dir = tmp_path_factory.mktemp("wire") / "data"
        with up(data_dir) as running, pictures_served() as source:
            subscription = Subscription(running.system["pubsub_emulator_host"])
            conversation = await Conversation.begin(running.system, source)
            found = await conversation.run()
            found["messages"] = subscription.messages(conversation.placeholders)
            found["openapi"] = document({**conversation.openapi, "servers": "<of this run>"})
            subscription.close()
        remove_database(data_dir)
    return {**found, "settings": settings()}


@pytest.mark.parametrize("part", PARTS)
def test_nothing_outside_changed(part: str, found: dict[str, Any]) -> None:
    path = RECORDED / f"{part}.json"
    text = as_text(found[part]) + "\n"
    if os.environ.get("WIRE_RECORD"):
        path.write_text(text)
    lines = list(
        difflib.unified_diff(path.read_text().splitlines(), text.splitlines(), "recorded", "found", n=8, lineterm="")
    )
    if lines:
        pytest.fail("\n".join([f"{path.name} differs:", *lines[:MOST_DIFF_LINES]]), pytrace=False)
