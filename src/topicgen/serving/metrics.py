"""What happens in the server -> counters in Prometheus' format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_DOCUMENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The server's counters; no label holds what a client wrote."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("topicgen_requests", "Answers", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "topicgen_request_seconds", "Time to the last byte", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.documents = Counter(
            "topicgen_documents", "Documents with a topic", ["model", "status"], registry=self.registry
        )
        self.batches = Histogram(
            "topicgen_batch_documents", "Documents of a batch", buckets=_DOCUMENTS, registry=self.registry
        )
        self.engine_seconds = Counter("topicgen_engine_seconds", "Time in the engine", registry=self.registry)
        self.engine_failures = Counter("topicgen_engine_failures", "Batches that failed", registry=self.registry)
        self.waiting = Gauge("topicgen_waiting_documents", "Documents that wait", registry=self.registry)
        self.running = Gauge("topicgen_running_requests", "Requests in flight", registry=self.registry)
        self.cancelled = Counter("topicgen_cancelled_requests", "Clients that left", registry=self.registry)

    def text(self) -> bytes:
        """All counters as text."""
        return generate_latest(self.registry)
