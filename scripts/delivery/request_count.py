"""Count the requests that a revision handled, by the platform's metric.

The metric counts every request, even of services without request logs, and reading it costs the same for ten
requests and ten million. It is two to three minutes behind.
"""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scripts.delivery.cloud_run import GcloudError, run_gcloud

METRIC = "run.googleapis.com/request_count"
# The variable by which gcloud itself is told of another endpoint.
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING"
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Requests:
    """Number of requests that a revision handled, with a status of 200 to 299, and with 500 or above."""

    total: int
    served: int
    errors: int

    @property
    def error_share(self) -> float:
        """Share of the requests that failed."""
        return self.errors / self.total if self.total else 0.0


def requests(project: str, service: str, revision: str, since: datetime) -> Requests:
    """Return the requests that a revision has handled since a time. Raises `GcloudError`."""
    counts: dict[str, int] = {}
    for series in _series(project, _query(service, revision, since)):
        kind = series["metric"]["labels"]["response_code_class"]
        counts[kind] = counts.get(kind, 0) + sum(int(point["value"]["int64Value"]) for point in series["points"])
    return Requests(sum(counts.values()), counts.get("2xx", 0), counts.get("5xx", 0))


def _query(service: str, revision: str, since: datetime) -> dict[str, str]:
    labels = {"service_name": service, "revision_name": revision}
    terms = [f'metric.type = "{METRIC}"', 'resource.type = "cloud_run_revision"']
    terms += [f'resource.labels.{name} = "{value}"' for name, value in labels.items()]
    return {
        "filter": " AND ".join(terms),
        "interval.startTime": f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "interval.endTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "aggregation.alignmentPeriod": "60s",
        "aggregation.perSeriesAligner": "ALIGN_DELTA",
        "aggregation.crossSeriesReducer": "REDUCE_SUM",
        "aggregation.groupByFields": "metric.labels.response_code_class",
    }


def _series(project: str, query: dict[str, str]) -> list[dict[str, Any]]:
    endpoint = os.environ.get(ENDPOINT, "https://monitoring.googleapis.com/").rstrip("/")
    url = f"{endpoint}/v3/projects/{project}/timeSeries?{urllib.parse.urlencode(query)}"
    token = run_gcloud("auth", "print-access-token").strip()
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 (https, or a test's)
    try:
        with urllib.request.urlopen(asked, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 (as above)
            found: list[dict[str, Any]] = json.load(answer).get("timeSeries", [])
    except (OSError, ValueError) as error:
        raise GcloudError(f"the requests of the revision cannot be counted: {error}") from None
    return found
