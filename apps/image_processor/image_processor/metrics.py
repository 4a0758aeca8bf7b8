"""The processor's Prometheus metrics, in a separate registry."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram


class Metrics:
    """Jobs and renditions by outcome, their duration, and dead-lettered messages."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.jobs = Counter("image_jobs", "Jobs by outcome", ["outcome"], registry=self.registry)
        self.analyses = Counter("analyses", "Analyses by outcome", ["analyzer", "outcome"], registry=self.registry)
        self.renditions = Counter("renditions", "Renditions by outcome", ["outcome"], registry=self.registry)
        self.rendition_seconds = Histogram(
            "rendition_seconds",
            "Time to make a rendition, without the wait for an idle worker",
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self.registry,
        )
        self.step_seconds = Histogram(
            "image_step_seconds",
            "Wall time of a processing step",
            ["step"],
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.unknown_objects = Counter(
            "unknown_objects", "Finalize events for no living image", ["reason"], registry=self.registry
        )
        self.dead_letters = Counter("dead_letters", "Messages refused for the last time", registry=self.registry)
        for collector in list(REGISTRY._collector_to_names):  # noqa: SLF001 (the default registry has no public list)
            self.registry.register(collector)
