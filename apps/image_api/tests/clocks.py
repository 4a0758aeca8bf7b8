"""A service whose own clock goes wrong, while the database's goes on."""

import sys
import time
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


def shift_clock(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Move what every module of the API and the core takes for the present."""

    class Shifted(datetime, metaclass=_AnyDatetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + by

        @classmethod
        def fromisoformat(cls, text: str) -> Any:
            return datetime.fromisoformat(text)

    really = time.time
    monkeypatch.setattr(time, "time", lambda: really() + by.total_seconds())
    for name, module in list(sys.modules.items()):
        if name.startswith(("image_api", "image_core")) and getattr(module, "datetime", None) is datetime:
            monkeypatch.setattr(module, "datetime", Shifted)
