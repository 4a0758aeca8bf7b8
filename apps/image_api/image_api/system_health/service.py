"""Running the checks together, each within a time limit."""

import asyncio
from typing import Any

from image_api.actor import Actor, require_admin
from image_api.services import Services
from image_api.system_health.checks import CHECKS, Finding
from image_api.system_health.schemas import State
from image_core import errors

TIMEOUT_SECONDS = 3.0
_WORST_FIRST = (State.FAILING, State.WARNING, State.OK)


async def examine(services: Services, actor: Actor, timeout_seconds: float = TIMEOUT_SECONDS) -> dict[str, Any]:
    """Run all checks at once, and return what each found within the time limit.

    Raises:
        errors.RoleMissing: The caller's role does not allow this.
    """
    require_admin(actor)
    tasks = {name: asyncio.ensure_future(check(services)) for name, check in CHECKS.items()}
    _, late = await asyncio.wait(tasks.values(), timeout=timeout_seconds)
    for task in late:
        # Nobody waits until it has ended: a dependency that hangs may hold up its cancellation, too.
        task.cancel()
    checks = [{"name": name, **_finding(task, timeout_seconds)._asdict()} for name, task in tasks.items()]
    return {"state": next(each for each in _WORST_FIRST if any(c["state"] is each for c in checks)), "checks": checks}


def _finding(task: "asyncio.Future[Finding]", timeout_seconds: float) -> Finding:
    step = "See whether it is running and reachable, and search the logs of image-api."
    if not task.done() or task.cancelled():
        return Finding(State.FAILING, f"No answer within {timeout_seconds:g} s.", step)
    error = task.exception()
    if error is None:
        return task.result()
    # The text of other errors may name addresses and users.
    words = error.title() if isinstance(error, errors.AppError) else type(error).__name__
    return Finding(State.FAILING, f"The check failed: {words}.", step)
