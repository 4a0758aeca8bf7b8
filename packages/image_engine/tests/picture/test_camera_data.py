"""What EXIF says, as cameras and editors really write it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_engine.picture.exif import CameraData, read_camera_data
from image_engine.picture.taken_time import read_time
from image_engine.picture.text import clean_text
from image_engine.testing.exif import Entry, ascii_text, block, rational, short
from image_engine.testing.pictures import exif_block

LATITUDE, LONGITUDE = rational((33, 1), (51, 1), (24, 1)), rational((151, 1), (12, 1), (0, 0))


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_an_error(content: bytes) -> None:
    read_camera_data(content, content, content)
    for header in (b"Exif\x00\x00II*\x00\x08\x00\x00\x00", b"MM\x00+\x00\x08\x00\x00" + bytes(7) + b"\x10"):
        read_camera_data(header + content)


@given(st.integers(0, 600), st.integers(0, 255))
def test_damaged_data_is_left_out(position: int, value: int) -> None:
    content = bytearray(exif_block(6, place=(10.0, 20.0)))
    content[position % len(content)] = value
    location = read_camera_data(bytes(content)).location
    if location is not None:
        assert abs(location["latitude"]) <= 90
        assert abs(location["longitude"]) <= 180


def test_no_camera_data_is_no_error() -> None:
    assert read_camera_data(b"") == CameraData()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2020:02:29 23:59:59", "2020-02-29T23:59:59"),
        ("2021-07-15 10:20:30", "2021-07-15T10:20:30"),
        ("2021/07/15 10:20:30", "2021-07-15T10:20:30"),
        ("2021.07.15 10:20:30", "2021-07-15T10:20:30"),
        ("2021-07-15T10:20:30", "2021-07-15T10:20:30"),
        ("2021:07:15 10:20", "2021-07-15T10:20:00"),
        ("2021: 7: 5  9: 5: 3", "2021-07-05T09:05:03"),
        ("2021:07:15 10:20:30.125", "2021-07-15T10:20:30.125"),
        ("2021:07:15 10:20:30,1234567891", "2021-07-15T10:20:30.123456"),
        ("2021:07:15 10:20:30+02:00", "2021-07-15T10:20:30+02:00"),
        ("2021:07:15 10:20:30 +0530", "2021-07-15T10:20:30+05:30"),
        ("2021-07-15T10:20:30.5Z", "2021-07-15T10:20:30.5+00:00"),
        ("2021:07:15 10:20:30 UTC-3", "2021-07-15T10:20:30-03:00"),
        ("20210715T102030-0330", "2021-07-15T10:20:30-03:30"),
        ("2021:07:15 10:20:30+19:00", "2021-07-15T10:20:30"),
        ("2021-07-15T10:20-07", "2021-07-15T10:20:00-07:00"),
        ("2021-07-15T10:20-07:00", "2021-07-15T10:20:00-07:00"),
        ("2021:07:15 1:02:03 PM", "2021-07-15T13:02:03"),
        ("2021/07/15 12:02:03am", "2021-07-15T00:02:03"),
        ("2021:07:15 12:02 p.m.", "2021-07-15T12:02:00"),
        ("2021:07:15 13:02:03 PM", None),
        ("2021:07:15 10.20.30", "2021-07-15T10:20:30"),
        ("2021:07:15 10h20m30s", "2021-07-15T10:20:30"),
        ("2021_07_15, 10:20:30", "2021-07-15T10:20:30"),
        ("2021:07:15\u00a010:20:30", "2021-07-15T10:20:30"),
        ("2021:07:15 10:20:30 CEST", "2021-07-15T10:20:30"),
        ("2021:12:31 24:00:00", "2022-01-01T00:00:00"),
        ("2021:12:31 23:59:60", "2022-01-01T00:00:00"),
        ("9999:12:31 24:00:00", None),
        ("2021:07:15 10:20:61", None),
        ("Thu Jul 15 10:20:30 2021", "2021-07-15T10:20:30"),
        ("Sun Jul  4 10:20:30 2021", "2021-07-04T10:20:30"),
        ("Thu Foo 15 10:20:30 2021", None),
        ("2021:07:15", "2021-07-15"),
        ("2021:07:15   :  :  ", "2021-07-15"),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2021:02:30 10:20:30", None),
        ("2021:07:15 25:00:00", None),
        ("2021:07:15 10:20:30 or so", None),
        ("2021", None),
        ("", None),
    ],
)
def test_times_are_read_as_they_are_found(written: str, read: str | None) -> None:
    assert read_time(written) == read


@given(st.text(max_size=80))
def test_any_text_is_a_time_or_none(text: str) -> None:
    read_time(text, text, text)


@pytest.mark.parametrize(
    ("exif", "taken_at"),
    [
        ({0x9003: b"2020:02:29 23:59:59\x00", 0x9011: b"-03:30\x00"}, "2020-02-29T23:59:59-03:30"),
        ({0x9003: b"2020:02:29 23:59:59\x00", 0x9011: b"+0530\x00"}, "2020-02-29T23:59:59+05:30"),
        ({0x9003: b"2020:02:29 23:59:59\x00", 0x9011: b"Z\x00"}, "2020-02-29T23:59:59+00:00"),
        ({0x9003: b"2020:02:29 23:59:59\x00", 0x9011: b"   :  \x00"}, "2020-02-29T23:59:59"),
        ({0x9003: b"2020:02:29 23:59:59+01:00\x00", 0x9011: b"+02:00\x00"}, "2020-02-29T23:59:59+01:00"),
        ({0x9003: b"2020:02:29 23:59:59\x00", 0x9291: b"07 \x00"}, "2020-02-29T23:59:59.07"),
        ({0x9003: b"2020:02:29 23:59:59\x00", 0x9291: b"1\x00", 0x9011: b"+01:00\x00"}, "2020-02-29T23:59:59.1+01:00"),
        # The zone and the fraction of the change, and of the digitisation, are not the photograph's.
        ({0x9003: b"2020:02:29 23:59:59\x00", 0x9010: b"+02:00\x00", 0x9012: b"+03:00\x00"}, "2020-02-29T23:59:59"),
        ({0x9003: b"2020:02:29 23:59:59\x00", 0x9290: b"12\x00", 0x9292: b"34\x00"}, "2020-02-29T23:59:59"),
        ({0x9003: b"0000:00:00 00:00:00\x00", 0x9004: b"2021:01:02 03:04:05\x00"}, "2021-01-02T03:04:05"),
        (
            {0x9004: b"2021:01:02 03:04:05", 0x9012: b"+03:00", 0x9011: b"+01:00"},
            "2021-01-02T03:04:05+03:00",
        ),
    ],
)
def test_time_taken_has_its_own_fraction_and_offset(exif: dict[int, bytes], taken_at: str | None) -> None:
    entries = {tag: ascii_text(text) for tag, text in exif.items()}
    assert read_camera_data(block(entries)).exif.get("taken_at") == taken_at


def test_time_of_the_change_counts_last_and_with_its_own_offset() -> None:
    first = {0x0132: ascii_text(b"2022:01:02 03:04:05\x00")}
    changed = block({0x9010: ascii_text(b"+04:00\x00"), 0x9011: ascii_text(b"+01:00\x00")}, first=first)
    assert read_camera_data(changed).exif["taken_at"] == "2022-01-02T03:04:05+04:00"
    original = block({0x9003: ascii_text(b"2020:02:29 23:59:59\x00")}, first=first)
    assert read_camera_data(original).exif["taken_at"] == "2020-02-29T23:59:59"


@pytest.mark.parametrize(
    ("exif", "iso"),
    [
        ({0x8827: short(400)}, 400),
        ({0x8827: short(400, 800)}, 400),
        ({0x8827: short(65535), 0x8830: short(2), 0x8832: (4, 1, struct.pack(">I", 102_400))}, 102_400),
        ({0x8827: short(65535), 0x8833: (4, 1, struct.pack(">I", 204_800))}, 204_800),
        ({0x8827: short(65535), 0x8831: (4, 1, struct.pack(">I", 80_000))}, 80_000),
        ({0x8827: short(0), 0x8832: short(640)}, 640),
        ({0x8832: short(640)}, 640),
        ({0x8830: short(1), 0x8831: short(500), 0x8832: short(640)}, 500),
        ({0x8830: short(3), 0x8832: short(640), 0x8833: short(800)}, 800),
        ({0x8830: short(3), 0x8832: short(640)}, 640),
        ({0x8830: short(7), 0x8832: short(640), 0x8833: short(800)}, 640),
        ({0x8827: short(65535)}, None),
        ({0x8827: (4, 1, struct.pack(">I", 2**32 - 1))}, None),
        ({0x8827: (11, 1, struct.pack(">f", 3e38))}, None),
        ({0x8827: (12, 1, struct.pack(">d", 1e300))}, None),
        ({0x8827: (12, 1, struct.pack(">d", float("nan")))}, None),
        ({0x8827: (9, 1, struct.pack(">i", -100))}, None),
        ({0x8827: ascii_text(b"1600\x00")}, 1600),
    ],
)
def test_sensitivity_is_looked_for_where_the_camera_put_it(exif: dict[int, Entry], iso: int | None) -> None:
    assert read_camera_data(block(exif)).exif.get("iso") == iso


@pytest.mark.parametrize(
    ("entry", "seconds"),
    [
        (rational((1, 64_000)), 1 / 64_000),
        (rational((1, 125)), 0.008),
        (rational((30, 1)), 30.0),
        (rational((1, 3)), 0.333333),
        (rational((1, 0)), None),
        (rational((0, 1)), None),
        (rational((2**32 - 1, 1)), None),
        ((12, 1, struct.pack(">d", float("inf"))), None),
        ((10, 1, struct.pack(">ii", -1, 125)), None),
    ],
)
def test_exposure_time_keeps_its_digits(entry: Entry, seconds: float | None) -> None:
    assert read_camera_data(block({0x829A: entry})).exif.get("exposure_time") == seconds


def test_exposure_is_read_from_its_logarithms_where_it_stands_nowhere_else() -> None:
    apex = {0x9201: (10, 1, struct.pack(">ii", 7, 1)), 0x9202: rational((4, 1))}
    facts = read_camera_data(block(apex)).exif
    assert (facts["exposure_time"], facts["f_number"]) == (0.00781, 4.0)
    facts = read_camera_data(block({**apex, 0x829A: rational((1, 125)), 0x829D: rational((0, 10))})).exif
    assert (facts["exposure_time"], facts["f_number"]) == (0.008, 4.0)
    absurd = {0x9201: (10, 1, struct.pack(">ii", -(2**31), 1)), 0x9202: rational((2**32 - 1, 1))}
    assert read_camera_data(block(absurd)).exif == {}


@pytest.mark.parametrize("tag", [0x829A, 0x829D, 0x8827, 0x9204, 0x920A, 0xA405, 0x9209, 0x9201, 0x9202])
@pytest.mark.parametrize("number", [3e38, 1e300, -1e300, float("nan"), float("inf")])
def test_a_number_that_cannot_be_is_no_fact(tag: int, number: float) -> None:
    assert read_camera_data(block({tag: (12, 1, struct.pack(">d", number))})).exif == {}


@pytest.mark.parametrize(
    ("references", "place"),
    [
        ((b"S\x00", b"E\x00"), (-33.8566667, 151.2)),
        ((b"s\x00", b"e\x00"), (-33.8566667, 151.2)),
        ((b"n\x00", b"w\x00"), (33.8566667, -151.2)),
        ((b"North\x00", b"West\x00"), (33.8566667, -151.2)),
        ((None, b"E\x00"), None),
        ((b"S\x00", None), None),
        ((b"\x00\x00", b"E\x00"), None),
        ((b"E\x00", b"S\x00"), None),
    ],
)
def test_place_needs_both_references(
    references: tuple[bytes | None, bytes | None], place: tuple[float, float] | None
) -> None:
    gps = {2: LATITUDE, 4: LONGITUDE}
    gps |= {tag: ascii_text(text) for tag, text in zip((1, 3), references, strict=True) if text is not None}
    location = read_camera_data(block(gps=gps)).location
    assert (location and (location["latitude"], location["longitude"])) == place


@pytest.mark.parametrize(
    "latitude",
    [
        rational((91, 1), (0, 1), (0, 1)),
        rational((90, 1), (1, 1), (0, 1)),
        rational((0, 0), (0, 0), (0, 0)),
        (10, 3, struct.pack(">6i", -33, 1, 0, 1, 0, 1)),
        (12, 3, struct.pack(">3d", 1e300, 0, 0)),
        rational((200, 1)),
    ],
)
def test_place_that_cannot_be_is_none(latitude: Entry) -> None:
    gps = {1: ascii_text(b"N\x00"), 2: latitude, 3: ascii_text(b"E\x00"), 4: LONGITUDE}
    assert read_camera_data(block(gps=gps)).location is None


@pytest.mark.parametrize(
    ("entries", "metres"),
    [
        ({6: rational((4305, 10)), 5: (1, 1, b"\x01")}, -430.5),
        ({6: rational((4305, 10)), 5: (7, 1, b"\x01")}, -430.5),
        ({6: rational((4305, 10)), 5: ascii_text(b"1\x00")}, -430.5),
        ({6: rational((4305, 10)), 5: (1, 1, b"\x03")}, -430.5),
        ({6: rational((4305, 10)), 5: (1, 1, b"\x00")}, 430.5),
        ({6: rational((4305, 10))}, 430.5),
        ({6: (10, 1, struct.pack(">ii", -4305, 10)), 5: (1, 1, b"\x01")}, -430.5),
        ({6: rational((1, 0))}, None),
        ({6: rational((2**32 - 1, 1))}, None),
    ],
)
def test_altitude_may_lie_below_the_sea(entries: dict[int, Entry], metres: float | None) -> None:
    place = {1: ascii_text(b"N\x00"), 2: LATITUDE, 3: ascii_text(b"E\x00"), 4: LONGITUDE}
    location = read_camera_data(block(gps={**place, **entries})).location
    assert location is not None
    assert location.get("altitude") == metres


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"Canon\x00rest", "Canon"),
        ("a\x00b\u202ec\n\td", "a b c d"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("a\u2066b\u2069\ud800c\u2028d", "a b c d"),
        (b"caf\xe9", "café"),
        (b"\x93Z\xfcrich\x94", "“Zürich”"),
        ("Zürich".encode() + "ü".encode()[:1], "Zürich"),
        ("Zürich".encode("utf-16"), "Zürich"),
        ("x" * 500, "x" * 200),
        (b"\x00\x00", None),
        ("  ", None),
    ],
)
def test_text_is_one_bounded_line(written: bytes | str, read: str | None) -> None:
    assert clean_text(written) == read


def test_text_is_read_in_whatever_type_it_is_stored() -> None:
    name = "Zürich".encode()
    for kind in (1, 2, 7, 129):
        assert read_camera_data(block(first={0x0110: (kind, len(name), name)})).exif == {"camera_model": "Zürich"}


def test_tags_of_windows_count_where_the_others_are_missing() -> None:
    title, author = "Fjord – Ålesund\x00".encode("utf-16-le"), "Åse\x00".encode("utf-16-le")
    windows = {0x9C9B: (1, len(title), title), 0x9C9D: (1, len(author), author)}
    assert read_camera_data(block(first=windows)).exif == {"description": "Fjord – Ålesund", "artist": "Åse"}
    described = {**windows, 0x010E: ascii_text(b"A fjord\x00"), 0x013B: ascii_text(b" \x00")}
    assert read_camera_data(block(first=described)).exif == {"description": "A fjord", "artist": "Åse"}


@pytest.mark.parametrize("order", ["<", ">"])
def test_big_tiff_is_read_too(order: str) -> None:
    mark = b"II+\x00\x08\x00\x00\x00" if order == "<" else b"MM\x00+\x00\x08\x00\x00"
    entries = struct.pack(f"{order}HHQ8s", 0x010F, 2, 6, b"Maker\x00\x00\x00")
    entries += struct.pack(f"{order}HHQQ", 0x0110, 2, 12, 72)
    content = mark + struct.pack(f"{order}QQ", 16, 2) + entries + bytes(8) + b"Model twelve"
    assert read_camera_data(content).exif == {"camera_make": "Maker", "camera_model": "Model twelve"}


def gps_time(date: bytes | None, *time: tuple[int, int]) -> object:
    gps = {7: rational(*time)} | ({} if date is None else {29: ascii_text(date)})
    return read_camera_data(block(gps=gps)).exif.get("gps_time")


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        (b"2021:07:15", ((8, 1), (20, 1), (3075, 100)), "2021-07-15T08:20:30+00:00"),
        (b"2021:07:15", ((24, 1), (0, 1), (0, 1)), "2021-07-16T00:00:00+00:00"),
        (b"2021:07:15", ((24, 1), (0, 1), (1, 1)), None),
        (b"2021:07:15", ((8, 1), (20, 1), (0, 0)), None),
        (b"2021:07:15", ((8, 1), (20, 1)), None),
        (b"9999:12:31", ((24, 1), (0, 1), (0, 1)), None),
        (b"0000:00:00", ((8, 1), (20, 1), (30, 1)), None),
        (None, ((8, 1), (20, 1), (30, 1)), None),
    ],
)
def test_the_time_of_satellites_is_read(
    date: bytes | None, time: tuple[tuple[int, int], ...], expected: str | None
) -> None:
    assert gps_time(date, *time) == expected


def test_without_its_place_a_picture_has_no_time_of_satellites() -> None:
    gps = {7: rational((8, 1), (20, 1), (30, 1)), 29: ascii_text(b"2021:07:15")}
    camera = read_camera_data(block(gps=gps))
    assert "gps_time" in camera.exif
    assert "gps_time" not in camera.without_place
