"""Delivery of pictures: keys that sign addresses, presets, renditions, and usage."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from image_core.delivery.spec import FITS, FORMATS, MOST_NAME_LENGTH, MOST_SIDE_PX
from image_core.models.columns import id_column, metadata, one_of, time_column
from image_core.states import DeliveryKeyState

PRESET_METADATA = ("none", "copyright")


def _team() -> Column:  # type: ignore[type-arg]
    return Column("team_id", Uuid, ForeignKey("team.id", ondelete="CASCADE"), nullable=False)


# Random instead of a sequence: a key's bytes are derived from its number, so a number that is assigned again after a
# database was restored from a backup would give one team the key of another. Written as PostgreSQL prints it.
RANDOM_NUMBER = "((floor((random() * (2147483647)::double precision)))::bigint + 1)"

delivery_key = Table(
    "delivery_key",
    metadata,
    id_column(),
    # A trigger on `team` adds the first key, so that every team can sign immediately.
    _team(),
    # `k{number}` in addresses; the key's bytes are derived from it and the installation's master secret.
    Column("number", BigInteger, nullable=False, unique=True, server_default=text(RANDOM_NUMBER)),
    Column("name", Text),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    time_column("verifying_at"),
    time_column("retired_at"),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    CheckConstraint("number BETWEEN 1 AND 9999999999", name="number_digits"),
    CheckConstraint("char_length(name) BETWEEN 1 AND 120", name="name_length"),
    CheckConstraint(one_of("state", tuple(DeliveryKeyState)), name="state"),
    CheckConstraint("(state = 'active') = (verifying_at IS NULL)", name="verifying_when_not_active"),
    CheckConstraint("(state = 'retired') = (retired_at IS NOT NULL)", name="retired_has_time"),
    Index("ix_delivery_key_team_id", "team_id", text("created_at DESC"), text("id DESC")),
)

preset = Table(
    "preset",
    metadata,
    _team(),
    # A built-in name if the team has changed that preset.
    Column("name", Text, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("fit", Text, nullable=False, server_default=text("'inside'")),
    Column("gravity", Text, nullable=False, server_default=text("'ce'")),
    Column("quality", SmallInteger, nullable=False, server_default=text("80")),
    Column("formats", ARRAY(Text), nullable=False, server_default=text("'{webp}'")),
    # Six hex digits; null means white, or transparent if the format supports it.
    Column("background", Text),
    Column("animated", Boolean, nullable=False, server_default=text("true")),
    # `copyright` keeps the creator and the copyright notice.
    Column("metadata", Text, nullable=False, server_default=text("'none'")),
    # Whether grants of scope `p` and addresses of public images include the preset.
    Column("open", Boolean, nullable=False, server_default=text("false")),
    # Whether it is made when an image is processed, not on the first request.
    Column("eager", Boolean, nullable=False, server_default=text("false")),
    # After a change, images with a smaller id still have to be made again, newest first; null when all are done.
    Column("remake_before", Uuid),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    PrimaryKeyConstraint("team_id", "name"),
    CheckConstraint(
        f"name ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' AND char_length(name) <= {MOST_NAME_LENGTH}", name="name_spelling"
    ),
    CheckConstraint(f"width BETWEEN 1 AND {MOST_SIDE_PX} AND height BETWEEN 1 AND {MOST_SIDE_PX}", name="sides"),
    CheckConstraint(one_of("fit", FITS), name="fit"),
    CheckConstraint("num_nonnulls(width, height) >= CASE WHEN fit = 'inside' THEN 1 ELSE 2 END", name="fit_has_sides"),
    CheckConstraint("gravity ~ '^(ce|at|fo|x[0-9]{1,4}y[0-9]{1,4})$'", name="gravity"),
    CheckConstraint("quality BETWEEN 1 AND 100", name="quality"),
    CheckConstraint(
        f"cardinality(formats) > 0 AND formats <@ ARRAY[{', '.join(repr(str(each)) for each in FORMATS)}]",
        name="formats",
    ),
    CheckConstraint("background ~ '^[0-9a-f]{6}$'", name="background"),
    CheckConstraint(one_of("metadata", PRESET_METADATA), name="metadata"),
    Index("ix_preset_remake_before", "team_id", postgresql_where=text("remake_before IS NOT NULL")),
)

rendition = Table(
    "rendition",
    metadata,
    id_column(),
    # The image's team, repeated here because budgets and sweeps are per team.
    Column("team_id", Uuid, nullable=False),
    Column("image_id", Uuid, ForeignKey("image.id", ondelete="CASCADE"), nullable=False),
    Column("generation", BigInteger, nullable=False),
    # Hash of the recipe, and of the focal point if its gravity uses one; 16 bytes.
    Column("spec_hash", LargeBinary, nullable=False),
    Column("format", Text, nullable=False),
    # Null for transforms, which are evicted if an image has too many.
    Column("preset", Text),
    Column("object_name", Text, nullable=False, unique=True),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("eager", Boolean, nullable=False, server_default=text("false")),
    Column("last_used_on", Date, nullable=False, server_default=text("CURRENT_DATE")),
    time_column("created_at", nullable=False),
    CheckConstraint("octet_length(spec_hash) = 16", name="spec_hash_length"),
    CheckConstraint(one_of("format", FORMATS), name="format"),
    CheckConstraint("width > 0 AND height > 0 AND frames > 0", name="dimensions_positive"),
    CheckConstraint("size_bytes > 0", name="size_bytes_positive"),
    CheckConstraint("octet_length(sha256) = 32", name="sha256_length"),
    Index(
        "uq_rendition_image_id_generation_spec_hash_format",
        "image_id",
        "generation",
        "spec_hash",
        "format",
        unique=True,
    ),
    Index("ix_rendition_team_id", "team_id"),
    # For the sweep.
    Index("ix_rendition_last_used_on", "last_used_on", postgresql_where=text("NOT eager")),
)

# Only the latest failure: it is remembered for an hour, then the picture is tried again.
rendition_failure = Table(
    "rendition_failure",
    metadata,
    Column("image_id", Uuid, ForeignKey("image.id", ondelete="CASCADE"), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("spec_hash", LargeBinary, nullable=False),
    Column("format", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    time_column("failed_at", nullable=False),
    PrimaryKeyConstraint("image_id", "generation", "spec_hash", "format"),
    CheckConstraint("octet_length(spec_hash) = 16", name="spec_hash_length"),
    CheckConstraint(one_of("format", FORMATS), name="format"),
    Index("ix_rendition_failure_failed_at", "failed_at"),
)

delivery_usage = Table(
    "delivery_usage",
    metadata,
    _team(),
    # In UTC.
    Column("day", Date, nullable=False),
    Column("requests", BigInteger, nullable=False, server_default=text("0")),
    Column("bytes", BigInteger, nullable=False, server_default=text("0")),
    # Renditions made on demand: for grants of scope `e`, and for scope `p` and public images.
    Column("exact_makes", BigInteger, nullable=False, server_default=text("0")),
    Column("open_makes", BigInteger, nullable=False, server_default=text("0")),
    # When the warning was sent that this day brought the month above 80 % of its quota.
    time_column("warned_at"),
    PrimaryKeyConstraint("team_id", "day"),
    CheckConstraint("requests >= 0 AND bytes >= 0 AND exact_makes >= 0 AND open_makes >= 0", name="not_negative"),
    Index("ix_delivery_usage_day", "day"),
)
