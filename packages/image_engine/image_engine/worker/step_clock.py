"""The time of each step, and the deadline that all of them share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from image_engine.contract.rejections import PictureRejected


class StepClock:
    """Measures the steps, and starts none after the deadline.

    Attributes:
        seconds: wall time by step, in the order in which the steps first ran.
    """

    def __init__(self, deadline_at: float) -> None:
        self._deadline_at = deadline_at
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the block.

        Raises:
            PictureRejected: The deadline has passed (`processing-timeout`).
        """
        started_at = time.monotonic()
        if started_at > self._deadline_at:
            raise PictureRejected("processing-timeout")
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started_at
