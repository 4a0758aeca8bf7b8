"""Facts that stand beside EXIF: in XMP and IPTC, in every container."""

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_engine.contract.answers import PictureFacts
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.requests import ProcessingRequest
from image_engine.picture.exif import CameraData, read_camera_data
from image_engine.picture.png_blocks import read_png_blocks
from image_engine.testing.exif import ascii_text, block
from image_engine.testing.pictures import exif_block, heic, png_header, scene, with_metadata
from image_engine.worker.pipeline import process_picture

SCENE = scene(48, 32)
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NAMESPACES = f"""xmlns:rdf="{RDF}" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" xmlns:exifEX="http://cipa.jp/exif/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" """
ATTRIBUTES = """tiff:Make="Maker" tiff:Model="Model X" aux:Lens="Lens 35"
 exif:DateTimeOriginal="2021-07-15T10:20:30+02:00" exif:ExposureTime="1/64000" exif:FNumber="28/10"
 exif:GPSLatitude="59,54.5N" exif:GPSLongitude="10,44,0E"
 exif:GPSAltitude="125/10" exif:GPSAltitudeRef="1" """
LISTS = """<exif:ISOSpeedRatings><rdf:Seq><rdf:li>400</rdf:li><rdf:li>800</rdf:li></rdf:Seq></exif:ISOSpeedRatings>
<dc:creator><rdf:Seq><rdf:li>Åse</rdf:li></rdf:Seq></dc:creator>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">A fjord</rdf:li><rdf:li>En fjord</rdf:li></rdf:Alt>
</dc:description>
<exif:Flash rdf:parseType="Resource"><exif:Fired>True</exif:Fired><exif:Mode>2</exif:Mode></exif:Flash>"""
FACTS = {
    "camera_make": "Maker",
    "camera_model": "Model X",
    "lens": "Lens 35",
    "taken_at": "2021-07-15T10:20:30+02:00",
    "exposure_time": 1 / 64_000,
    "f_number": 2.8,
    "iso": 400,
    "artist": "Åse",
    "description": "A fjord",
    "flash_fired": True,
}
PLACE = {"latitude": 59.9083333, "longitude": 10.7333333, "altitude": -12.5}


def packet(attributes: str = "", elements: str = "", head: str = "", root: str = "x:xmpmeta") -> bytes:
    """An XMP packet about one picture."""
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{head}<{root} xmlns:x="adobe:ns:meta/">
<rdf:RDF {NAMESPACES}><rdf:Description rdf:about="" {attributes}>{elements}</rdf:Description></rdf:RDF></{root}>
<?xpacket end="w"?>""".encode()


PACKET = packet(ATTRIBUTES, LISTS)


def read(xmp: bytes) -> CameraData:
    return read_camera_data(b"", xmp)


def facts_of(content: bytes, *, keep_location: bool = True) -> PictureFacts:
    with open_picture_file() as picture:
        picture.write(content)
        request = ProcessingRequest(presets=(), keep_location=keep_location)
        return process_picture(picture.fileno(), request, 1e12).facts


# --- What a packet says --------------------------------------------------------------------------------------------


def test_attributes_and_lists_are_read() -> None:
    assert read(PACKET) == CameraData(FACTS, PLACE)


def test_elements_are_read_whatever_their_prefix() -> None:
    elements = """<Make xmlns="http://ns.adobe.com/tiff/1.0/"> Maker </Make>
    <q:Model xmlns:q="http://ns.adobe.com/tiff/1.0/"><rdf:Description><rdf:value>Model X</rdf:value>
    <xmp:Label>a qualifier</xmp:Label></rdf:Description></q:Model>
    <tiff:Software>&lt;Soft&#119;are&gt; <![CDATA[& more]]></tiff:Software>"""
    for root in ("x:xmpmeta", "x:xapmeta"):
        assert read(packet("", elements, root=root)).exif == {
            "camera_make": "Maker",
            "camera_model": "Model X",
            "software": "<Software> & more",
        }


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_packets_of_every_encoding_are_read(encoding: str) -> None:
    text = PACKET.decode().replace("\ufeff", "")
    content = ("\ufeff" if encoding == "utf-16-be" else "") + text
    assert read(content.encode(encoding) + bytes(20)).exif == FACTS


def test_padding_around_a_packet_is_no_fault() -> None:
    assert read(b"\n" + PACKET + b" " * 2000 + bytes(3)).exif == FACTS


@pytest.mark.parametrize(
    "elements",
    [
        '<tiff:Make xmlns:tiff="http://ns.adobe.com/tiff/1.0">Other</tiff:Make>',
        '<tiff:Make xmlns:tiff="http://ns.adobe.com.evil.example/tiff/1.0/">Other</tiff:Make>',
        '<tiff:Make xmlns:tiff="HTTP://NS.ADOBE.COM/tiff/1.0/">Other</tiff:Make>',
        '<rdf:Make xmlns:rdf="http://example.org/">Other</rdf:Make>',
        "<xmpMM:DerivedFrom><tiff:Make>Other</tiff:Make></xmpMM:DerivedFrom>",
        '<xmpMM:DerivedFrom><rdf:Description tiff:Make="Other"/></xmpMM:DerivedFrom>',
        '<xmpMM:Pantry><rdf:RDF><rdf:Description tiff:Make="Other"/></rdf:RDF></xmpMM:Pantry>',
        "<tiff:Make><xmp:Label>Other</xmp:Label></tiff:Make>",
        "<tiff:make>Other</tiff:make>",
    ],
)
def test_a_lookalike_is_not_the_picture_s_property(elements: str) -> None:
    assert read(packet("", elements)) == CameraData()


def test_an_entity_is_never_expanded_and_nothing_is_fetched() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha" * 50}">' for n in range(9))
    for subset in (laughs, f'<!ENTITY l8 SYSTEM "file://{__file__}">', '<!ENTITY % l8 SYSTEM "http://127.0.0.1:9/">'):
        head = f"<!DOCTYPE x [{subset}]>"
        assert read(packet('tiff:Model="Model X"', "<tiff:Make>&l8;</tiff:Make>", head)) == CameraData()
    # Even without an entity: XMP has no document type.
    assert read(packet(ATTRIBUTES, head='<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">')) == CameraData()


def test_what_stands_before_a_fault_is_kept() -> None:
    whole = packet("", "<tiff:Make>Maker</tiff:Make><tiff:Model>Model X</tiff:Model>")
    assert read(whole[: whole.index(b"</tiff:Model>")]).exif == {"camera_make": "Maker"}
    assert read(whole.replace(b"</tiff:Model>", b"</tiff:Wrong>")).exif == {"camera_make": "Maker"}


def test_a_packet_is_bounded_in_size_in_depth_and_in_its_elements() -> None:
    after = "<tiff:Make>Maker</tiff:Make>"
    assert read(packet("", after) + b" " * (2 * 1024 * 1024)) == CameraData()
    assert read(packet("", "<xmp:a/>" * 19_000 + after)).exif == {"camera_make": "Maker"}
    assert read(packet("", "<xmp:a/>" * 20_000 + after)) == CameraData()
    for depth, found in ((40, {"camera_make": "Maker"}), (100_000, {})):
        assert read(packet("", "<xmp:a>" * depth + "</xmp:a>" * depth + after)).exif == found
    assert read(packet("", f"<tiff:Make>{'M' * 100_000}</tiff:Make>")).exif == {"camera_make": "M" * 200}


@given(st.binary(max_size=300), st.integers(0, len(PACKET)))
def test_any_packet_is_read_without_an_error(content: bytes, position: int) -> None:
    read(PACKET[:position] + content + PACKET[position:])


@pytest.mark.parametrize(
    ("latitude", "degrees"),
    [
        ("59,54.5N", 59.9083333),
        ("59,54,30N", 59.9083333),
        ("59,54.5s", -59.9083333),
        ("59.5N", 59.5),
        ("59,54.5", None),
        ("59,54.5E", None),
        ("91,0N", None),
        ("-59,54.5N", None),
        ("nanN", None),
        ("", None),
    ],
)
def test_coordinates_are_read_in_both_forms(latitude: str, degrees: float | None) -> None:
    place = read(packet(f'exif:GPSLatitude="{latitude}" exif:GPSLongitude="10,44W"')).location
    assert place == (degrees and {"latitude": degrees, "longitude": -10.7333333})


@pytest.mark.parametrize(
    ("attributes", "facts"),
    [
        ('exif:ExposureTime="1/0"', {}),
        ('exif:ExposureTime="nan" exif:FNumber="inf" exif:FocalLength="1e300"', {}),
        ('exif:FNumber="-28/10" exif:FocalLengthIn35mmFilm="99999999999999999999"', {}),
        ('exifEX:PhotographicSensitivity="65535" exifEX:RecommendedExposureIndex="102400"', {"iso": 102_400}),
        ('exif:DateTimeOriginal="2021-07"', {}),
        ('xmp:CreateDate="2021-07-15T10:20:30.250Z"', {"taken_at": "2021-07-15T10:20:30.250+00:00"}),
        ('xmp:ModifyDate="2021-07-15T10:20:30Z" xmp:MetadataDate="2021-07-15T10:20:30Z"', {}),
        ('photoshop:DateCreated="2021-07-15"', {"taken_at": "2021-07-15"}),
        ('tiff:Make="a&#x202E;b&#x200D;c&#9;d"', {"camera_make": "a b\u200dc d"}),
    ],
)
def test_values_of_a_packet_pass_the_checks_of_exif(attributes: str, facts: dict[str, object]) -> None:
    assert read(packet(attributes)).exif == facts


# --- Who counts ----------------------------------------------------------------------------------------------------


def test_exif_counts_where_both_speak() -> None:
    both = read_camera_data(exif_block(place=(1.5, 2.5)), PACKET)
    assert both.location == {"latitude": 1.5, "longitude": 2.5, "altitude": -12.5}
    exif = read_camera_data(exif_block()).exif
    assert both.exif == {**FACTS, **exif}
    assert both.exif["taken_at"] == "2024-05-06T07:08:09+02:00"


def test_a_time_taken_from_xmp_counts_before_a_time_of_change_from_exif() -> None:
    changed = block(first={0x0132: ascii_text(b"2022:01:02 03:04:05\x00")})
    assert read_camera_data(changed, PACKET).exif["taken_at"] == FACTS["taken_at"]


def test_the_same_time_takes_its_zone_from_where_it_is_written() -> None:
    same, other = (
        block({0x9003: ascii_text(text)}) for text in (b"2021:07:15 10:20:30\x00", b"2021:07:15 11:20:30\x00")
    )
    assert read_camera_data(same, PACKET).exif["taken_at"] == "2021-07-15T10:20:30+02:00"
    assert read_camera_data(other, PACKET).exif["taken_at"] == "2021-07-15T11:20:30"


# --- IPTC ----------------------------------------------------------------------------------------------------------


def iptc(**texts: bytes) -> bytes:
    """Bare IPTC records; the names are `d` and the number of a data set."""
    return b"".join(struct.pack(">BBBH", 0x1C, 2, int(name[1:]), len(text)) + text for name, text in texts.items())


def photoshop(records: bytes) -> bytes:
    """Photoshop's resources, the records behind another one of odd size."""
    resources = ((0x03ED, b"\x03abc", b"12345\x00"), (0x0404, b"\x00\x00", records))
    sizes = (5, len(records))
    return b"Photoshop 3.0\x00" + b"".join(
        b"8BIM" + struct.pack(">H", kind) + name + struct.pack(">I", size) + content
        for (kind, name, content), size in zip(resources, sizes, strict=True)
    )


RECORDS = iptc(d55=b"20210715", d60=b"102030+0200", d80="Åse".encode(), d116=b"\xa9 \xc5se", d120=b"A fjord")
IPTC_FACTS = {
    "taken_at": "2021-07-15T10:20:30+02:00",
    "artist": "Åse",
    "copyright": "© Åse",
    "description": "A fjord",
}


@pytest.mark.parametrize("wrap", [bytes, photoshop], ids=["bare", "photoshop"])
def test_iptc_is_read_with_and_without_resources_around_it(wrap: Callable[[bytes], bytes]) -> None:
    assert read_camera_data(b"", iptc=wrap(RECORDS)).exif == IPTC_FACTS


def test_a_date_of_iptc_without_a_time_is_a_date() -> None:
    assert read_camera_data(b"", iptc=iptc(d55=b"20210715")).exif == {"taken_at": "2021-07-15"}
    assert read_camera_data(b"", iptc=iptc(d55=b"00000000", d60=b"102030")).exif == {}
    assert read_camera_data(b"", PACKET, iptc(d55=b"20210715")).exif["taken_at"] == FACTS["taken_at"]


# --- Containers ----------------------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(*chunks: bytes, before_pixels: bool) -> bytes:
    """A grey PNG with chunks before or behind its pixels."""
    pixels, end = chunk(b"IDAT", zlib.compress(bytes(9 * 8))), chunk(b"IEND", b"")
    added = b"".join(chunks)
    return png_header(8, 8) + (added + pixels if before_pixels else pixels + added) + end


def raw_profile(kind: str, content: bytes) -> bytes:
    """A block as ImageMagick and ExifTool write it into a text."""
    digits = content.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    return f"\n{kind} profile\n{len(content):8}\n{lines}\n".encode()


def png_xmp(xmp: bytes, *, compressed: bool = False) -> bytes:
    head = b"XML:com.adobe.xmp\x00" + (b"\x01\x00" if compressed else b"\x00\x00") + b"\x00\x00"
    return chunk(b"iTXt", head + (zlib.compress(xmp) if compressed else xmp))


def zipped_profile(kind: str, content: bytes) -> bytes:
    return chunk(b"zTXt", f"Raw profile type {kind}".encode() + bytes(2) + zlib.compress(raw_profile(kind, content)))


def plain_profile(kind: str, content: bytes) -> bytes:
    return chunk(b"tEXt", f"Raw profile type {kind}".encode() + bytes(1) + raw_profile(kind, content))


def gif_with_xmp(packet: bytes) -> bytes:
    """A GIF with the packet behind its pixels, and the bytes of decreasing value that lead out of it."""
    content: bytes = SCENE.gifsave_buffer()
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
    return content[:-1] + b"\x21\xff\x0bXMP DataXMP" + packet + trailer + content[-1:]


def pictures_with_xmp() -> dict[str, Callable[[], bytes]]:
    dressed = with_metadata(SCENE, xmp=PACKET)
    return {
        "jpeg": dressed.jpegsave_buffer,
        "png": dressed.pngsave_buffer,
        "webp": dressed.webpsave_buffer,
        "tiff": dressed.tiffsave_buffer,
        "bigtiff": lambda: dressed.tiffsave_buffer(bigtiff=True),
        "avif": lambda: dressed.heifsave_buffer(compression="av1", effort=0),
        "heic": lambda: heic(SCENE, xmp=PACKET),
        "gif": lambda: gif_with_xmp(PACKET),
    }


@pytest.mark.parametrize("kind", [*pictures_with_xmp()])
def test_xmp_is_read_from_every_container_and_its_place_is_left_out_on_demand(kind: str) -> None:
    content = pictures_with_xmp()[kind]()
    facts = facts_of(content)
    assert (facts.exif, facts.location) == (FACTS, PLACE)
    without = facts_of(content, keep_location=False)
    assert (without.exif, without.location) == (FACTS, None)


@pytest.mark.parametrize("before_pixels", [True, False])
@pytest.mark.parametrize(
    "added",
    [
        png_xmp(PACKET),
        png_xmp(PACKET, compressed=True),
        zipped_profile("xmp", PACKET),
        plain_profile("APP1", b"http://ns.adobe.com/xap/1.0/\x00" + PACKET),
    ],
    ids=["text", "compressed text", "raw profile", "raw segment"],
)
def test_xmp_is_read_from_every_chunk_of_a_png(added: bytes, *, before_pixels: bool) -> None:
    facts = facts_of(png_with(added, before_pixels=before_pixels))
    assert (facts.exif, facts.location) == (FACTS, PLACE)


def test_exif_and_iptc_are_read_from_raw_profiles_of_a_png() -> None:
    exif = exif_block(place=(1.5, 2.5))
    for kind in ("exif", "APP1"):
        facts = facts_of(png_with(zipped_profile(kind, exif), before_pixels=False))
        assert facts.exif["camera_make"] == "Maker"
        assert facts.location is not None
    assert facts_of(png_with(plain_profile("iptc", photoshop(RECORDS)), before_pixels=True)).exif == IPTC_FACTS
    both = png_with(
        plain_profile("exif", block(first={0x010F: ascii_text(b"Old")})), chunk(b"eXIf", exif[6:]), before_pixels=True
    )
    assert facts_of(both).exif["camera_make"] == "Maker"


@pytest.mark.parametrize("before_pixels", [True, False])
def test_a_png_is_turned_wherever_its_exif_stands(*, before_pixels: bool) -> None:
    exif = exif_block(6)
    for added in (chunk(b"eXIf", exif[6:]), chunk(b"eXIf", exif), zipped_profile("exif", exif)):
        assert facts_of(png_with(added, before_pixels=before_pixels)).orientation == 6
    assert facts_of(png_with(chunk(b"eXIf", exif_block(9)[6:]), before_pixels=before_pixels)).orientation == 1


def test_a_text_that_inflates_without_end_costs_no_more_than_its_bound() -> None:
    bomb = chunk(b"zTXt", b"Raw profile type xmp" + bytes(2) + zlib.compress(b"\nxmp\n 1\n" + b"20" * 10_000_000))
    packed = png_xmp(b" " * 10_000_000 + PACKET, compressed=True)
    assert len(read_png_blocks(png_with(bomb, before_pixels=False))["xmp"]) < 1024 * 1024
    assert len(read_png_blocks(png_with(packed, before_pixels=False))["xmp"]) == 2 * 1024 * 1024


def test_a_broken_text_is_no_fact() -> None:
    broken = chunk(b"zTXt", b"Raw profile type xmp" + bytes(2) + b"no zlib")
    odd = chunk(b"tEXt", b"Raw profile type exif\x00\nexif\n 3\nnot hexadecimal")
    assert read_png_blocks(png_with(broken, odd, chunk(b"tEXt", b"Raw profile type xmp"), before_pixels=True)) == {}


def test_iptc_is_read_from_jpeg_and_tiff() -> None:
    assert facts_of(with_metadata(SCENE, iptc=photoshop(RECORDS)).jpegsave_buffer()).exif == IPTC_FACTS
    for tag, content in ((0x83BB, RECORDS), (0x8649, photoshop(RECORDS))):
        target = io.BytesIO()
        Image.fromarray(SCENE.numpy()).save(target, "TIFF", tiffinfo={tag: content})
        assert facts_of(target.getvalue()).exif == IPTC_FACTS
