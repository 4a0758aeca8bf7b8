"""The page about recovery: what it says to stop before a restore is all that would still change something."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_subscription_that_starts_work_is_stopped() -> None:
    source = (ROOT / "terraform/modules/events/subscriptions.tf").read_text()
    routes = "".join(re.findall(r"(?:push|nudge)_routes = \{(.*?)\}", source, re.DOTALL))
    page = (ROOT / "docs/recovery.md").read_text()
    (stopped,) = re.findall(r"for topic in ([a-z ]+); do\n.*modify-push-config \"image-\$topic-push\"", page)
    assert sorted(stopped.split()) == sorted(re.findall(r"(\w+) +=", routes))
