"""Ready-made schemas."""

from image_api.metadata_schemas.schemas import DeclaredField, FieldType

# Source: ISO 3166-1 alpha-2, the officially assigned codes.
_COUNTRIES = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY
BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK
FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR
IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK
ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM
PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF
TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""

# All four describe a person, and together they can identify one; the country may also reveal an origin that is
# protected by law. So each is marked as personal, and none is required: senders may omit them.
_PHOTO_SUBMISSION = (
    DeclaredField(
        name="age", type=FieldType.INTEGER, min=0, max=130, pii=True, description="In years, at the time of submission."
    ),
    DeclaredField(
        name="gender", type=FieldType.ENUM, enum=["female", "male", "non-binary", "other", "undisclosed"], pii=True,
        description="As the person says.",
    ),
    DeclaredField(
        name="place_of_living", type=FieldType.STRING, pii=True, description="City or region, as the person writes it."
    ),
    DeclaredField(
        name="country_of_origin", type=FieldType.ENUM, enum=_COUNTRIES.split(), pii=True,
        description="ISO 3166-1 alpha-2, in capitals.",
    ),
)  # fmt: skip

TEMPLATES = {"photo-submission": _PHOTO_SUBMISSION}
