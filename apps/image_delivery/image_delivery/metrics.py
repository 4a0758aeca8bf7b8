"""The Prometheus metrics of image-delivery, in a registry of their own."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Answers by status and origin, what is made, and how many wait for it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "delivery_answers", "Answers to delivery addresses", ["status", "derivative"], registry=self.registry
        )
        self._answers_by: dict[tuple[int, str], Counter] = {}
        self._bytes = Counter("delivery_bytes", "Bytes of pictures in those answers", registry=self.registry)
        self.made = Counter("delivery_made", "Pictures made, by outcome", ["outcome"], registry=self.registry)
        self.asked = Counter("delivery_asked", "Pictures that the processor was asked for", registry=self.registry)
        self.make_seconds = Histogram(
            "delivery_make_seconds",
            "Time to make a picture, without the wait for a place",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.waiting = Gauge("delivery_waiting", "Pictures that wait to be made", registry=self.registry)
        for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001 (the default registry has no public list)
            self.registry.register(collector)

    def count_answer(self, status: int, origin: str, size_bytes: int) -> None:
        """Count an answer, how its picture came to be there, and how many bytes of it were sent."""
        # Looking up the child of labels costs as much as an answer's headers.
        answers = self._answers_by.get((status, origin))
        if answers is None:
            answers = self._answers_by[status, origin] = self._answers.labels(str(status), origin)
        answers.inc()
        self._bytes.inc(size_bytes)
