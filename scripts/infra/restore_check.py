"""After the database was restored to a point in time: do its rows and the objects in the buckets still agree?

Run it while no service writes to the restored database. It lists both buckets, then reads the rows, all in memory,
and prints a JSON report; it ends with 0 when everything agrees and with 1 otherwise.

`--repair` deletes no object. It promises the removal of orphans in a week, which deleting those rows takes back, sends
images whose derivatives are gone, but whose original is there, to be processed again, and removes rows of renditions
whose objects are gone, which are made again once they are asked for. An original that is missing is for a person to
bring back: every generation that the bucket still has is counted as there, and what was
deleted for good may be soft-deleted.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from scripts.infra.commands import say
from sqlalchemy import Uuid, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from image_core import errors
from image_core.db import Database, DatabaseConfig, Query, Record, Transaction
from image_core.feed.many_images import queued_again
from image_core.images import transitions
from image_core.images.discards import schedule_removal
from image_core.images.object_names import Bucket
from image_core.models import HOLDS_BYTES_CLAUSE, derivative, discarded_object, image, rendition
from image_core.states import ImageStatus
from image_core.storage.gcs import GcsClient
from image_core.storage.protocol import ObjectMissing, ObjectStorage, StoredObject

MOST_EXAMPLES = 50
REMOVE_AFTER = timedelta(days=7)
"""How long an orphan stays after `--repair`, for somebody to change their mind."""
_STATEMENT_SECONDS = 600.0

_forget = Query(delete(rendition).where(rendition.c.id == func.any(bindparam("lost", type_=ARRAY(Uuid)))))

Example = dict[str, Any]


class Orphan(NamedTuple):
    """An object that no row names, by the bucket's name in `discarded_object`."""

    bucket: Bucket
    found: StoredObject


@dataclass(frozen=True)
class Rows:
    """What the database says that there is."""

    holding: list[Record]
    """Images whose original exists."""
    pending: set[str]
    """Names under which an upload may still arrive, in any generation."""
    derivatives: list[Record]
    renditions: list[Record]
    promises: set[tuple[str, str, int | None]]
    """What `discarded_object` removes; a name of a derivative that ends in a slash stands for all below it."""


@dataclass
class Differences:
    """Where rows and objects do not agree."""

    missing_originals: list[Example] = field(default_factory=list)
    missing_derivatives: list[Example] = field(default_factory=list)
    missing_renditions: list[Record] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)
    reprocessable: dict[UUID, int] = field(default_factory=dict)
    """Images with a missing derivative and a sound original, with their revision as it was read."""

    def report(self) -> dict[str, Any]:
        """Counts and the first examples of each kind."""
        orphans = [
            {
                "bucket": each.bucket,
                "object_name": each.found.name,
                "generation": each.found.generation,
                "size_bytes": each.found.size_bytes,
            }
            for each in self.orphans
        ]
        kinds = {
            "missing_originals": self.missing_originals,
            "missing_derivatives": self.missing_derivatives,
            "missing_renditions": [
                {"image_id": str(row["image_id"]), "object_name": row["object_name"]} for row in self.missing_renditions
            ],
            "orphans": orphans,
        }
        told = {name: {"count": len(each), "examples": each[:MOST_EXAMPLES]} for name, each in kinds.items()}
        return {"agrees": not any(kinds.values()), **told}


async def read_rows(database: Database) -> Rows:
    """Promises first: what is made loses its promise in the transaction that names it, so it is never in neither."""
    promises = await database.fetch(
        select(discarded_object.c.bucket, discarded_object.c.object_name, discarded_object.c.generation)
    )
    pending = await database.fetch(select(image.c.object_name).where(image.c.status == ImageStatus.PENDING))
    holding = await database.fetch(
        select(
            image.c.id, image.c.status, image.c.object_name, image.c.generation, image.c.size_bytes,
            image.c.revision, image.c.purge_marked_at,
        ).where(HOLDS_BYTES_CLAUSE).order_by(image.c.id)
    )  # fmt: skip
    derivatives = await database.fetch(
        select(derivative.c.image_id, derivative.c.preset, derivative.c.object_name).order_by(derivative.c.object_name)
    )
    renditions = await database.fetch(
        select(rendition.c.id, rendition.c.image_id, rendition.c.object_name).order_by(rendition.c.object_name)
    )
    return Rows(
        holding,
        {row["object_name"] for row in pending},
        derivatives,
        renditions,
        {(row["bucket"], row["object_name"], row["generation"]) for row in promises},
    )


def compare(rows: Rows, originals: list[StoredObject], derivatives: list[StoredObject]) -> Differences:
    """Every difference between the rows and the objects of the two buckets."""
    differences = Differences()
    sizes = {(found.name, found.generation): found.size_bytes for found in originals}
    sound: dict[UUID, int] = {}
    for row in rows.holding:
        size = sizes.get((row["object_name"], row["generation"]))
        if size != row["size_bytes"]:
            differences.missing_originals.append(_missing_original(row, size))
        elif row["purge_marked_at"] is None:
            sound[row["id"]] = row["revision"]
    present = {found.name for found in derivatives}
    for row in rows.derivatives:
        if row["object_name"] in present:
            continue
        image_id: UUID = row["image_id"]
        differences.missing_derivatives.append(
            {"image_id": str(image_id), "preset": row["preset"], "object_name": row["object_name"]}
            | {"original_is_there": image_id in sound}
        )
        if image_id in sound:
            differences.reprocessable[image_id] = sound[image_id]
    differences.missing_renditions = [row for row in rows.renditions if row["object_name"] not in present]
    differences.orphans = _orphans(rows, originals, derivatives)
    return differences


def _missing_original(row: Record, found_size_bytes: int | None) -> Example:
    named = {name: row[name] for name in ("status", "object_name", "generation", "size_bytes")}
    return {"image_id": str(row["id"])} | named | {"found_size_bytes": found_size_bytes}


def _orphans(rows: Rows, originals: list[StoredObject], derivatives: list[StoredObject]) -> list[Orphan]:
    held = {(row["object_name"], row["generation"]) for row in rows.holding}
    named = {row["object_name"] for row in (*rows.derivatives, *rows.renditions)}
    found = [
        Orphan(Bucket.ORIGINALS, each)
        for each in originals
        if (each.name, each.generation) not in held and each.name not in rows.pending
    ]
    found += [Orphan(Bucket.DERIVATIVES, each) for each in derivatives if each.name not in named]
    return [each for each in found if not _promised(each, rows.promises)]


def _promised(orphan: Orphan, promises: set[tuple[str, str, int | None]]) -> bool:
    bucket, (name, generation) = orphan.bucket, (orphan.found.name, orphan.found.generation)
    if (bucket, name, generation) in promises or (bucket, name, None) in promises:
        return True
    # As the sweep reads it: only derivatives lie in folders.
    ends = [at + 1 for at, letter in enumerate(name) if letter == "/"] if bucket == Bucket.DERIVATIVES else []
    return any((bucket, name[:end], each) in promises for end in ends for each in (None, generation))


async def repair(transaction: Transaction, differences: Differences, now: datetime) -> dict[str, Any]:
    """Does what can be taken back or made again, and says what.

    All promises bear the same time, by which they can be found.
    """
    due = now + REMOVE_AFTER
    for each in differences.orphans:
        await schedule_removal(transaction, each.bucket, each.found.name, each.found.generation, due)
    lost = [row["id"] for row in differences.missing_renditions]
    await transaction.execute(_forget, lost=lost)
    sent = [
        str(image_id)
        for image_id, revision in differences.reprocessable.items()
        if await transaction.execute(queued_again(transitions.remake_derivatives(image_id, revision)))
    ]
    return {
        "orphans_promised": {"count": len(differences.orphans), "remove_after": due.isoformat()},
        "images_sent_back": {"count": len(sent), "examples": sent[:MOST_EXAMPLES]},
        "renditions_forgotten": {"count": len(lost)},
    }


async def check(
    database: Database, originals: ObjectStorage, derivatives: ObjectStorage, *, mend: bool
) -> dict[str, Any]:
    """The report, as things were before `mend` did its part."""
    # Objects before rows: a row is there before its object is.
    found_originals, found_derivatives = await originals.list(""), await derivatives.list("")
    rows = await read_rows(database)
    differences = compare(rows, found_originals, found_derivatives)
    report = differences.report()
    report["compared"] = {
        "images": len(rows.holding),
        "derivatives": len(rows.derivatives),
        "renditions": len(rows.renditions),
        "objects_in_originals": len(found_originals),
        "objects_in_derivatives": len(found_derivatives),
    }
    if mend:
        async with database.transaction() as transaction:
            report["repaired"] = await repair(transaction, differences, datetime.now(UTC))
    return report


async def _run(options: argparse.Namespace) -> dict[str, Any]:
    storage = GcsClient(options.storage_emulator_host, None)
    database = Database(DatabaseConfig(url=options.database_url, statement_timeout_seconds=_STATEMENT_SECONDS))
    await database.open()
    try:
        return await check(
            database, storage.bucket(options.originals), storage.bucket(options.derivatives), mend=options.repair
        )
    finally:
        await storage.close()
        await database.close()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--database-url", required=True, help="the restored database, never the one in service")
    parser.add_argument("--originals", required=True, metavar="BUCKET")
    parser.add_argument("--derivatives", required=True, metavar="BUCKET")
    parser.add_argument("--storage-emulator-host", metavar="HOST")
    parser.add_argument("--repair", action="store_true", help="do what is safe and can be taken back")
    options = parser.parse_args(arguments)
    if options.originals == options.derivatives:
        parser.error("originals and derivatives are two buckets")
    try:
        report = asyncio.run(_run(options))
    except (errors.AppError, ObjectMissing) as error:
        parser.exit(2, f"Nothing was compared: {error}\n")
    say(json.dumps(report, indent=2))
    return 0 if report["agrees"] else 1


if __name__ == "__main__":
    sys.exit(main())
