"""How the recording is written: short values on a line of their own, long ones with a line for each member."""

import json
from typing import Any

_WIDTH = 110


def as_text(value: Any, indent: int = 0) -> str:
    """JSON in which a change of one member changes few lines."""
    flat = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list) or (indent and len(flat) + indent <= _WIDTH):
        return flat
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        members = [
            f"{inner}{json.dumps(name, ensure_ascii=False)}: {as_text(value[name], indent + 1)}" for name in value
        ]
        return "{\n" + ",\n".join(members) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(inner + as_text(each, indent + 1) for each in value) + "\n" + " " * indent + "]"
