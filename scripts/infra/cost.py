"""What a month costs, computed from a table of listed prices: `docs/cost.md` is what `document` returns."""

from collections.abc import Callable
from dataclasses import dataclass

HOURS = 730.0
"""Hours of a month, as Google's own examples count them."""
MONTH_SECONDS = HOURS * 3600


@dataclass(frozen=True)
class Price:
    """A listed price in US dollars. `confirmed` is false where no copy of the list was at hand to read it again."""

    dollars: float
    unit: str
    source: str
    confirmed: bool = True


READ_ON = "2026-11-21"
"""When the stored copies of the lists were read; the copies themselves are older and carry no date of their own."""

RUN, SQL = "https://cloud.google.com/run/pricing", "https://cloud.google.com/sql/pricing"
STORAGE, OBSERVED = "https://cloud.google.com/storage/pricing", "https://cloud.google.com/stackdriver/pricing"
BALANCING, ARMOR = "https://cloud.google.com/load-balancing/pricing", "https://cloud.google.com/armor/pricing"

PRICES = {
    "run_cpu": Price(0.000024, "vCPU-second of a request", RUN),
    "run_memory": Price(0.0000025, "GiB-second of a request", RUN),
    "run_requests": Price(0.40, "million requests", RUN),
    "run_idle_cpu": Price(0.0000025, "vCPU-second of a warm instance that waits", RUN, confirmed=False),
    "run_idle_memory": Price(0.0000025, "GiB-second of a warm instance that waits", RUN, confirmed=False),
    "sql_cpu": Price(0.0413, "vCPU-hour, Enterprise", "https://www.usage.ai/blogs/gcp/cloud-sql/pricing/ (May 2026)"),
    "sql_memory": Price(0.007, "GiB-hour, Enterprise", "https://www.usage.ai/blogs/gcp/cloud-sql/pricing/ (May 2026)"),
    "sql_micro": Price(0.0105, "hour of db-f1-micro", SQL, confirmed=False),
    "sql_disk": Price(0.17, "GiB-month of SSD", SQL, confirmed=False),
    "sql_backup": Price(0.08, "GiB-month of backup", SQL, confirmed=False),
    "storage": Price(0.020, "GB-month, Standard, europe-west1", STORAGE),
    "storage_writes": Price(0.005, "1,000 class A operations", "https://cloud.google.com/storage/pricing-examples"),
    "storage_reads": Price(0.0004, "1,000 class B operations", "https://cloud.google.com/storage/pricing-examples"),
    "egress": Price(0.12, "GB to the internet", "https://cloud.google.com/storage/pricing-examples"),
    "pubsub": Price(40.0, "TiB of throughput", "https://cloud.google.com/pubsub/pricing", confirmed=False),
    "logs": Price(0.50, "GiB of logs", OBSERVED),
    "alerts": Price(0.10, "alert condition", OBSERVED, confirmed=False),
    "scheduler": Price(0.10, "job", "https://cloud.google.com/scheduler/pricing", confirmed=False),
    "secret": Price(0.06, "secret version", "https://cloud.google.com/secret-manager/pricing", confirmed=False),
    "registry": Price(
        0.10, "GB-month of images", "https://cloud.google.com/artifact-registry/pricing", confirmed=False
    ),
    "balancer": Price(0.025, "hour, up to five forwarding rules", BALANCING),
    "armor_policy": Price(5.0, "policy", ARMOR, confirmed=False),
    "armor_rule": Price(1.0, "rule", ARMOR, confirmed=False),
}

FREE = {"run_cpu": 180_000.0, "run_memory": 360_000.0, "run_requests": 2.0, "logs": 50.0, "pubsub": 10 / 1024}
"""What costs nothing each month, in the units of the price (by billing account, or by project for logs)."""


@dataclass(frozen=True)
class Setup:
    """An environment as `terraform/environments` describes it, as far as it costs."""

    name: str
    database: Callable[[], float]
    disk_gib: int
    copies: int
    warm_api_instances: int


def _dollars(price: str, amount: float) -> float:
    return PRICES[price].dollars * max(0.0, amount - FREE.get(price, 0.0))


DEV = Setup("dev", lambda: _dollars("sql_micro", HOURS), disk_gib=10, copies=1, warm_api_instances=0)
PROD = Setup(
    "prod",
    lambda: 2 * HOURS * (2 * PRICES["sql_cpu"].dollars + 7.5 * PRICES["sql_memory"].dollars),
    disk_gib=20,
    copies=2,
    warm_api_instances=1,
)


@dataclass(frozen=True)
class Image:
    """What one image means in a month: an assumption, to be replaced by one's own numbers."""

    original_mb: float = 3.0
    derivatives_mb: float = 0.5
    derivatives: int = 4
    reads: float = 3.0
    api_seconds: float = 0.5
    processor_seconds: float = 1.0
    messages_kib: float = 6.0
    log_kib: float = 4.0
    row_kib: float = 8.0


IMAGE = Image()
API_CPU, API_MEMORY_GIB, API_SHARE = 1.0, 1.0, 0.25
"""An API instance; a request has it to itself for a quarter of its time, since others run beside it."""
PROCESSOR_CPU, PROCESSOR_MEMORY_GIB, PROCESSOR_SHARE = 2.0, 2.0, 0.5
"""A processor instance; two pictures share it."""
SWEEPS = HOURS * 12


def lines(setup: Setup, images: int) -> dict[str, float]:
    """Dollars a month by resource, with so many images uploaded in the month and kept for it."""
    requests = images * (1 + IMAGE.reads)
    api_seconds = requests * IMAGE.api_seconds * API_SHARE
    processor_seconds = images * IMAGE.processor_seconds * PROCESSOR_SHARE + SWEEPS * 0.2
    stored_gb = images * (IMAGE.original_mb + IMAGE.derivatives_mb) / 1000
    warm = setup.warm_api_instances * MONTH_SECONDS
    return {
        "Cloud SQL: instance": setup.database(),
        "Cloud SQL: disk and backups": setup.copies * _dollars("sql_disk", setup.disk_gib)
        + _dollars("sql_backup", setup.disk_gib + images * IMAGE.row_kib / 1024**2),
        "Cloud Run: requests": _dollars("run_cpu", api_seconds * API_CPU + processor_seconds * PROCESSOR_CPU)
        + _dollars("run_memory", api_seconds * API_MEMORY_GIB + processor_seconds * PROCESSOR_MEMORY_GIB)
        + _dollars("run_requests", (requests + images + SWEEPS) / 1e6),
        "Cloud Run: warm instances": warm
        * (API_CPU * PRICES["run_idle_cpu"].dollars + API_MEMORY_GIB * PRICES["run_idle_memory"].dollars),
        "Cloud Storage": _dollars("storage", stored_gb)
        + _dollars("storage_writes", images * (1 + IMAGE.derivatives) / 1000)
        + _dollars("storage_reads", images * (2 + IMAGE.reads) / 1000),
        "Traffic to the internet": _dollars("egress", images * IMAGE.reads * IMAGE.derivatives_mb / 1000),
        "Pub/Sub": _dollars("pubsub", images * IMAGE.messages_kib / 1024**3),
        "Logs": _dollars("logs", images * IMAGE.log_kib / 1024**2 + 1),
        "Alerts": _dollars("alerts", 23),
        "Scheduler, secret, images": _dollars("scheduler", 1) + _dollars("secret", 1) + _dollars("registry", 5),
    }


def edge_dollars() -> float:
    """What the load balancer adds before its first request: forwarding rules, a policy, its rules."""
    return _dollars("balancer", HOURS) + _dollars("armor_policy", 1) + _dollars("armor_rule", 11)


def _cost_table() -> list[str]:
    columns = [(setup, images) for setup in (DEV, PROD) for images in (0, 100_000, 1_000_000)]
    titles = {0: "idle", 100_000: "100 k", 1_000_000: "1 M"}
    computed = [lines(setup, images) for setup, images in columns]
    head = "| resource | " + " | ".join(f"{setup.name}, {titles[images]}" for setup, images in columns) + " |"
    rows = [f"| {name} | " + " | ".join(f"{column[name]:,.2f}" for column in computed) + " |" for name in computed[0]]
    total = "| **sum** | " + " | ".join(f"**{sum(column.values()):,.2f}**" for column in computed) + " |"
    return [head, "| --- |" + " ---: |" * len(columns), *rows, total]


def _price_table() -> list[str]:
    rows = [
        f"| ${each.dollars:.10f}".rstrip("0").rstrip(".")
        + f" | {each.unit} | {each.source} | {READ_ON if each.confirmed else 'not read again'} |"
        for each in PRICES.values()
    ]
    return ["| price | for each | list | read on |", "| ---: | --- | --- | --- |", *rows]


def document(generated: str) -> str:
    """docs/cost.md."""
    dev, prod = lines(DEV, 0), lines(PROD, 0)
    database, warm = "Cloud SQL: instance", "Cloud Run: warm instances"
    introduction = f"""\
# What a month costs

{generated}

US dollars a month without tax, computed by `scripts/infra/cost.py` from the listed prices below. `100 k` and `1 M`
are images uploaded in that month and kept for it; each earlier month's images add their storage again.
"""
    explanation = f"""
The load balancer, off by default, adds {edge_dollars():,.2f} before its first request.

## What an image is taken to be

{IMAGE.original_mb} MB of original and {IMAGE.derivatives_mb} MB in {IMAGE.derivatives} derivatives, read
{IMAGE.reads:g} times; {IMAGE.api_seconds} s of a request at the API, which has a quarter of an instance's time to
itself; {IMAGE.processor_seconds} s at the processor, which has half an instance's. These are assumptions: measure your
own (`benchmarks/`) and change `Image` in the script.

## To reach the least

1. The database is most of an idle system: {dev[database]:.2f} of {sum(dev.values()):.2f} in dev, {prod[database]:.2f}
   of {sum(prod.values()):.2f} in prod, whose standby is half of that.
2. Stop dev's database when nobody works (`gcloud sql instances patch … --activation-policy=NEVER`): only its disk is
   paid for then. The next apply starts it again.
3. `api.min_instances = 0` saves {prod[warm]:.2f} in prod; the first caller then waits for a start.
4. What is replaced or deleted is paid for like any other byte until `storage.soft_delete_days` have passed.
5. `network` logs a tenth of its flows and `edge` every request; both are charged as logs beyond the free amount.

## Prices

Read on {READ_ON} from stored copies of the lists, which may be older. For a price marked *not read again* no copy was
at hand: confirm it before you rely on it. Prices differ by region (Cloud SQL's are of us-central1) and change.
"""
    free = ", ".join(f"{amount:g} x {PRICES[name].unit}" for name, amount in FREE.items())
    parts = [introduction, *_cost_table(), explanation, *_price_table(), "", f"Free each month: {free}."]
    return "\n".join(parts) + "\n"
