"""The Prometheus metrics of image-delivery, in a registry of their own."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Answers by status and origin, what is made, and how many wait for it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answers = Counter(
            "delivery_answers", "Answers to delivery addresses", ["status", "derivative"], registry=self.registry
        )
        self.bytes = Counter("delivery_bytes", "Bytes of pictures in those answers", registry=self.registry)
        self.made = Counter("delivery_made", "Pictures made, by outcome", ["outcome"], registry=self.registry)
        self.make_seconds = Histogram(
            "delivery_make_seconds",
            "Time to make a picture, without the wait for a place",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.waiting = Gauge("delivery_waiting", "Pictures that wait to be made", registry=self.registry)
        for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001 (the default registry has no public list)
            self.registry.register(collector)
