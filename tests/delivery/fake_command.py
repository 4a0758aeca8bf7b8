"""Stands in for any command: notes its arguments and answers as the file named by FAKE_COMMANDS says.

`answers` is a list of {"to": text in the command line, "stdout": …, "stderr": …, "status": …, "times": n}; the first
that fits and is not used up answers, and what nothing fits succeeds in silence.
"""

import fcntl
import json
import os
import sys


def main() -> int:
    """Answer one call."""
    with open(os.environ["FAKE_COMMANDS"], "r+", encoding="utf-8") as file:  # noqa: PTH123 (starts without pathlib)
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        call = [os.environ["FAKE_NAME"], *sys.argv[1:]]
        state["calls"].append(call)
        fitting = [a for a in state["answers"] if a["to"] in " ".join(call) and a.get("times", 1) > 0]
        answer = fitting[0] if fitting else {}
        if "times" in answer:
            answer["times"] -= 1
        file.seek(0)
        file.truncate()
        json.dump(state, file)
    sys.stdout.write(answer.get("stdout", ""))
    sys.stderr.write(answer.get("stderr", ""))
    return int(answer.get("status", 0))


if __name__ == "__main__":
    sys.exit(main())
