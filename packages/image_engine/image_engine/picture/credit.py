"""Who made a picture and holds its rights, written as XMP: EXIF has no letters beyond ASCII.

Source: ISO 16684-1, 8.3 (dc:creator is an ordered list, dc:rights text by language).
"""

from collections.abc import Mapping
from xml.sax.saxutils import escape

_PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">{}</rdf:Description></rdf:RDF>'
    "</x:xmpmeta>"
)
_CREATOR = "<dc:creator><rdf:Seq><rdf:li>{}</rdf:li></rdf:Seq></dc:creator>"
_RIGHTS = '<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:rights>'


def credit_of(exif: Mapping[str, object]) -> bytes:
    """Return a packet that holds the artist and the copyright among the facts of a picture; empty for neither."""
    properties = [
        template.format(escape(str(exif[name])))
        for name, template in (("artist", _CREATOR), ("copyright", _RIGHTS))
        if name in exif
    ]
    return _PACKET.format("".join(properties)).encode() if properties else b""
