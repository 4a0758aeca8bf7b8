"""Stands in for gcloud: keeps services, revisions and traffic in a file, and fails where the test says.

The file is named by FAKE_GCLOUD_STATE. In it `faults` lists what breaks:
  {"command": "…", "times": n}       a command whose line has this text fails, n times (always without)
  {"kills": "…"}                     a command whose line has this text succeeds, and whoever gave it is killed
  {"errors": service, "from": percent}   the new revision's requests fail from this share of the traffic on
                                         (fake_monitoring.py tells)
  {"unserved": service, "from": percent}   likewise, but they are answered with 4xx
"""

import fcntl
import json
import os
import re
import signal
import sys
from typing import Any

State = dict[str, Any]


def main() -> int:
    """Carry out one command as a process."""
    status, kills = carry_out(sys.argv[1:])
    if kills:
        os.kill(os.getppid(), signal.SIGKILL)
    return status


def carry_out(arguments: list[str]) -> tuple[int, bool]:
    """Carry out one command; return its status, and whether whoever gave it is to be killed now."""
    with open(os.environ["FAKE_GCLOUD_STATE"], "r+", encoding="utf-8") as file:  # noqa: PTH123 (starts without pathlib)
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        status = _carry_out(state, arguments)
        file.seek(0)
        file.truncate()
        json.dump(state, file)
    line = " ".join(arguments)
    return status, any("kills" in fault and fault["kills"] in line for fault in state["faults"])


def _carry_out(state: State, arguments: list[str]) -> int:
    line = " ".join(arguments)
    state["calls"].append(line)
    for fault in state["faults"]:
        if "command" in fault and fault["command"] in line and fault.get("times", 1) > 0:
            if "times" in fault:
                fault["times"] -= 1
            sys.stderr.write(f"ERROR: (gcloud) made to fail: {fault['command']}\n")
            return 1
    words = [argument for argument in arguments if not argument.startswith("--")]
    flags = dict(argument[2:].partition("=")[::2] for argument in arguments if argument.startswith("--"))
    if words[:2] == ["auth", "print-access-token"]:
        sys.stdout.write("token\n")
        return 0
    commands = {
        "services describe": _describe,
        "services update": _update,
        "services update-traffic": _update_traffic,
        "jobs update": _update_job,
        "jobs execute": _execute_job,
    }
    return commands[" ".join(words[1:3])](state, words[3], flags)


def _describe(state: State, name: str, flags: dict[str, str]) -> int:
    if name not in state["services"]:
        sys.stderr.write(f"ERROR: (gcloud.run.services.describe) PERMISSION_DENIED: run.services.get on {name}\n")
        return 1
    service = state["services"][name]
    targets = [{"revisionName": revision, "percent": percent} for revision, percent in service["traffic"].items()]
    for tag, revision in service["tags"].items():
        targets.append({"revisionName": revision, "tag": tag, "url": f"{state['api_url']}/{tag}-{name}"})
    latest = list(service["revisions"])[-1]
    url = f"{state['api_url']}/{name}"
    json.dump({"status": {"url": url, "traffic": targets, "latestCreatedRevisionName": latest}}, sys.stdout)
    return 0


def _update(state: State, name: str, flags: dict[str, str]) -> int:
    service = state["services"][name]
    # Without --no-traffic the new revision would get everything.
    revision = f"{name}-{len(service['revisions']) + 1:05}"
    service["revisions"][revision] = flags["image"]
    if "no-traffic" not in flags:
        service["traffic"] = {revision: 100}
    return 0


def _update_traffic(state: State, name: str, flags: dict[str, str]) -> int:
    service = state["services"][name]
    if "update-tags" in flags:
        tag, _, revision = flags["update-tags"].partition("=")
        service["tags"][tag] = revision
        return 0
    if "remove-tags" in flags:
        service["tags"].pop(flags["remove-tags"], None)
        return 0
    shares = {revision: int(percent) for revision, percent in re.findall(r"([^=,]+)=(\d+)", flags["to-revisions"])}
    if sum(shares.values()) != 100 or not set(shares) <= set(service["revisions"]):
        sys.stderr.write("ERROR: (gcloud) unknown revisions, or shares that are not 100 in sum\n")
        return 1
    service["traffic"] = shares
    state["moves"].append([name, shares])
    return 0


def _update_job(state: State, name: str, flags: dict[str, str]) -> int:
    state["jobs"][name] = flags["image"]
    return 0


def _execute_job(state: State, name: str, flags: dict[str, str]) -> int:
    if "wait" not in flags:
        sys.stderr.write("ERROR: (gcloud) the rollout has to wait for the job\n")
        return 1
    state["executed"].append([name, state["jobs"][name]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
