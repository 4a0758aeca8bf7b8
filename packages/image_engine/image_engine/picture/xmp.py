"""Read facts from XMP: simple properties of the described picture, by the names of their namespaces.

The standard library's Expat is used without building a tree, so only requested properties are held. A packet with a
document type is not read, so there are no entities to expand and nothing to fetch; XMP needs none. XMP libraries are
bindings of C++ parsers, or build a tree first.

Source: ISO 16684-1, 7 (serialization) and 8 (namespaces).
"""

from contextlib import suppress
from xml.parsers import expat

from image_engine.picture.camera_fields import DIGITISED_TIME, FLASH, ORIGINAL_TIME
from image_engine.picture.camera_values import Value
from image_engine.picture.place import Place, place_of_xmp

_MAX_PACKET_BYTES = 2 * 1024 * 1024
_MAX_ELEMENTS = 20_000
_MAX_DEPTH = 64
_MAX_TEXT_LENGTH = 1000

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_ROOT, _DESCRIPTION, _ITEM, _VALUE = (f"{_RDF} {name}" for name in ("RDF", "Description", "li", "value"))
_LISTS = {f"{_RDF} {name}" for name in ("Alt", "Seq", "Bag")}
_NAMESPACES = {
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "exifEX": "http://cipa.jp/exif/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
}
_PROPERTIES: dict[int, tuple[str, ...]] = {
    0x010E: ("dc:description", "tiff:ImageDescription"),
    0x010F: ("tiff:Make",),
    0x0110: ("tiff:Model",),
    0x0131: ("xmp:CreatorTool", "tiff:Software"),
    0x013B: ("dc:creator", "tiff:Artist"),
    0x8298: ("dc:rights", "tiff:Copyright"),
    0x829A: ("exif:ExposureTime",),
    0x829D: ("exif:FNumber",),
    0x8827: ("exifEX:PhotographicSensitivity", "exif:ISOSpeedRatings"),
    0x8830: ("exifEX:SensitivityType",),
    0x8831: ("exifEX:StandardOutputSensitivity",),
    0x8832: ("exifEX:RecommendedExposureIndex",),
    0x8833: ("exifEX:ISOSpeed",),
    ORIGINAL_TIME: ("exif:DateTimeOriginal", "photoshop:DateCreated"),
    DIGITISED_TIME: ("exif:DateTimeDigitized", "xmp:CreateDate"),
    0x9201: ("exif:ShutterSpeedValue",),
    0x9202: ("exif:ApertureValue",),
    0x9204: ("exif:ExposureBiasValue",),
    FLASH: ("exif:Flash",),
    0x920A: ("exif:FocalLength",),
    0xA405: ("exif:FocalLengthIn35mmFilm",),
    0xA433: ("exifEX:LensMake",),
    0xA434: ("exifEX:LensModel", "aux:Lens"),
}
_PLACE = ("exif:GPSLatitude", "exif:GPSLongitude", "exif:GPSAltitude", "exif:GPSAltitudeRef")


def _full_name(name: str) -> str:
    prefix, local = name.split(":")
    return f"{_NAMESPACES[prefix]} {local}"


_FLASH, _FIRED = _full_name("exif:Flash"), _full_name("exif:Fired")
_BOOLEANS: dict[Value, str] = {"True": "1", "true": "1", "False": "0", "false": "0"}
_CARRIERS = {*_LISTS, _ITEM, _VALUE, _DESCRIPTION, _FIRED}
_SOUGHT = {_full_name(name) for names in (*_PROPERTIES.values(), _PLACE) for name in names}


def read_xmp(packet: bytes) -> tuple[dict[int, Value], Place | None]:
    """Return values by EXIF's tags, and the location. Anything after an error is skipped. Never raises."""
    properties = _Properties()
    if 0 < len(packet) <= _MAX_PACKET_BYTES:
        properties.read(packet.strip(b"\x00 \t\r\n"))
    found = properties.found
    values: dict[int, Value] = {}
    for tag, names in _PROPERTIES.items():
        values[tag] = next((found[full] for name in names if found.get(full := _full_name(name))), None)
    if values[FLASH] in _BOOLEANS:
        values[FLASH] = _BOOLEANS[values[FLASH]]
    return values, place_of_xmp(*(found.get(_full_name(name)) for name in _PLACE))


class _UnfitError(Exception):
    """The packet contains something that XMP does not need, or too much of it."""


class _Properties:
    """The texts of requested properties, by namespace and name; the first of each, and the first item of a list.

    Only properties of the picture itself count, not nested ones: a packet also describes the pictures from which this
    one was made.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._path: list[str] = []
        self._elements = 0
        self._property = ""
        self._property_depth = 0
        self._text = ""

    def read(self, packet: bytes) -> None:
        """Read the packet as far as it is well-formed and within bounds."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._add_text
        # An unknown encoding is a LookupError or ValueError.
        with suppress(expat.ExpatError, _UnfitError, LookupError, ValueError):
            parser.Parse(packet, True)

    def _refuse(self, *_: object) -> None:
        raise _UnfitError

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > _MAX_ELEMENTS or len(self._path) >= _MAX_DEPTH:
            raise _UnfitError
        self._path.append(name)
        self._text = ""
        if self._property:
            if self._property == _FLASH and _FIRED in attributes:
                self._keep(attributes[_FIRED])
        elif self._path[-2:] == [_ROOT, _DESCRIPTION] and len(self._path) <= 3:
            for found_name in _SOUGHT & attributes.keys():
                self.found.setdefault(found_name, attributes[found_name][:_MAX_TEXT_LENGTH])
        elif self._path[-3:-1] == [_ROOT, _DESCRIPTION] and len(self._path) <= 4 and name in _SOUGHT:
            self._property, self._property_depth = name, len(self._path)
            if name == _FLASH and _FIRED in attributes:
                self._keep(attributes[_FIRED])

    def _add_text(self, text: str) -> None:
        inner = self._path[self._property_depth :]
        if self._property and _CARRIERS.issuperset(inner) and len(self._text) < _MAX_TEXT_LENGTH:
            self._text += text

    def _end(self, _name: str) -> None:
        if self._property:
            self._keep(self._text)
            if len(self._path) == self._property_depth:
                self._property = ""
        self._text = ""
        self._path.pop()

    def _keep(self, text: str) -> None:
        if text.strip():
            self.found.setdefault(self._property, text.strip()[:_MAX_TEXT_LENGTH])
