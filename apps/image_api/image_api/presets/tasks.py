"""Work that follows a change of presets: pictures of eager presets are requested again, newest images first."""

from collections.abc import Iterator

from sqlalchemy import Integer, Text, Uuid, and_, bindparam, func, literal_column, select, update

from image_api.tasks.parts import TaskParts, committing
from image_api.tasks.runner import BATCH, Budget
from image_core import events
from image_core.db import Query, Record, Transaction
from image_core.delivery.rendition_requests import PROCESSED_FORMAT, rendition_request
from image_core.delivery.spec import Format
from image_core.images.presets import BUILT_IN, COLUMNS, Preset, focal_point_of, from_row
from image_core.images.transitions import IS_SHOWN
from image_core.models import derivative, image, preset, rendition

# The preset whose next image is the newest, so that the presets and teams under way take turns.
_take = Query(
    select(*COLUMNS, preset.c.team_id, preset.c.remake_before)
    .where(preset.c.remake_before.is_not(None))
    .order_by(preset.c.remake_before.desc(), preset.c.team_id, preset.c.name)
    .limit(literal_column("1"))
    # Another sweep continues with another preset; whoever replaces this one waits, and starts it anew.
    .with_for_update(skip_locked=True)
)
# As text, because what a preset makes of an image depends on its focal point.
_stored = func.array(
    select(rendition.c.format + literal_column("' '") + func.encode(rendition.c.spec_hash, literal_column("'hex'")))
    .where(rendition.c.image_id == image.c.id, rendition.c.generation == image.c.generation, rendition.c.eager)
    .scalar_subquery()
)
# Images that wait or are processed again are among them: if that fails, they stay as they are. One that was never ready
# is not, because whoever makes it ready looks at the presets.
_images = Query(
    select(
        image.c.id, image.c.generation, image.c.focal_x, image.c.focal_y, derivative.c.preset, derivative.c.spec_hash,
        _stored.label("stored"),
    )
    .select_from(
        image.outerjoin(
            derivative,
            and_(
                derivative.c.image_id == image.c.id,
                derivative.c.generation == image.c.generation,
                derivative.c.preset == bindparam("of_preset", type_=Text),
            ),
        )
    )
    .where(
        image.c.team_id == bindparam("of_team_id", type_=Uuid),
        image.c.id < bindparam("before", type_=Uuid),
        IS_SHOWN,
    )
    .order_by(image.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)  # fmt: skip
_advance = Query(
    update(preset)
    .where(preset.c.team_id == bindparam("of_team_id", type_=Uuid), preset.c.name == bindparam("of_preset", type_=Text))
    .values(remake_before=bindparam("before", type_=Uuid))
)


async def request_remakes(parts: TaskParts, budget: Budget) -> int:
    """Request the pictures of changed eager presets again, and return for how many images.

    Requests and the position in the images are committed together, so nothing is left out if the sweep is interrupted.
    """
    images = 0
    while (left := parts.settings.remakes_per_sweep - images) > 0 and not budget.is_spent:
        async with committing(parts) as transaction:
            row = await transaction.fetch_one(_take)
            if row is None:
                break
            images += await _request_batch(transaction, row, min(BATCH, left))
    return images


async def _request_batch(transaction: Transaction, row: Record, most: int) -> int:
    changed = from_row(row)
    of_preset = {"of_team_id": row["team_id"], "of_preset": changed.name}
    found: list[Record] = []
    if changed.is_eager:
        found = await transaction.fetch(_images, **of_preset, before=row["remake_before"], most=most)
    missing = {each["id"]: list(_missing_formats(changed, each)) for each in found}
    requests = [
        rendition_request(each["id"], row["team_id"], each["generation"], changed.name, extension)
        for each in found
        for extension in missing[each["id"]]
    ]
    await events.record(transaction, *requests)
    await transaction.execute(_advance, **of_preset, before=found[-1]["id"] if len(found) == most else None)
    return sum(map(bool, missing.values()))


def _missing_formats(changed: Preset, row: Record) -> Iterator[Format]:
    spec_hash, made_hash = row["spec_hash"], changed.recipe.focused(focal_point_of(row)).hash()
    if spec_hash is None and row["preset"] in BUILT_IN:
        # Made before recipes had hashes, of what every team had.
        spec_hash = BUILT_IN[row["preset"]].recipe.hash()
    if spec_hash != made_hash:
        yield PROCESSED_FORMAT
    for each in changed.formats:
        if each != PROCESSED_FORMAT and f"{each} {made_hash.hex()}" not in row["stored"]:
            yield each
