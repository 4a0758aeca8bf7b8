"""The Prometheus metrics of image-delivery, in a registry of their own."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter


class Metrics:
    """Answers by status and origin."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answers = Counter(
            "delivery_answers", "Answers to delivery addresses", ["status", "derivative"], registry=self.registry
        )
        self.bytes = Counter("delivery_bytes", "Bytes of pictures in those answers", registry=self.registry)
        for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001 (the default registry has no public list)
            self.registry.register(collector)
