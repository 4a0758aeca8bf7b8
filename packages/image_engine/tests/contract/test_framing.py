"""What the parent takes from a worker, which may have been taken over."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from image_engine.contract.facts import fitting_facts
from image_engine.contract.framing import bounded_text, decode_analyzed, decode_processed, encode_answer, read_json
from image_engine.contract.requests import AnalysisOrder, AnalysisRequest, ProcessingRequest
from image_engine.testing.faulty_worker import COLORS
from image_engine.testing.results import FACTS, PROCESSED

REQUEST = ProcessingRequest(presets=())
HEADER: dict[str, Any] = {
    "facts": asdict(FACTS), "derivatives": [], "vectors": {}, "analyses": [], "step_seconds": {},
    "worker_rss_bytes": 0, "worker_cpu_seconds": 0.0,
}  # fmt: skip
OUTCOME = {"analyzer": "colors", "version": "1", "parameters": {}, "result": COLORS, "failure": None, "place": None}
ANALYZED = {"outcomes": [OUTCOME], "step_seconds": {}, "worker_rss_bytes": 0, "worker_cpu_seconds": 0.0}


def test_what_a_worker_finds_comes_through_as_it_was() -> None:
    found = {
        "iso": 200, "f_number": 2.8, "flash_fired": False, "camera_make": "Ω — عکس 👩‍👩‍👧", "exposure_bias": -0.33,
    }  # fmt: skip
    facts = {"exif": found, "location": {"latitude": -33.9, "longitude": 18.4, "altitude": -2}, "icc_profile": "sRGB"}
    header = json.loads(json.dumps(HEADER | {"facts": asdict(FACTS) | facts}))
    decoded = decode_processed(REQUEST, header, []).facts.to_json()
    assert decoded == asdict(FACTS) | facts


HOSTILE_FACTS: list[dict[str, Any]] = [
    {"width_px": 0},
    {"width_px": 2**31},
    {"width_px": True},
    {"width_px": 4.5},
    {"width_px": "4"},
    {"frames": -1},
    {"duration_ms": 2**63},
    {"bit_depth": 0},
    {"has_alpha": 1},
    {"orientation": 9},
    {"format": "svg"},
    {"content_type": "text/html"},
    {"color_space": "r\ng"},
    {"icc_profile": "a\x00b"},
    {"icc_profile": "\ud800"},
    {"icc_profile": "x" * 1001},
    {"exif": {"iso": 3 * 10**38}},
    {"exif": {"iso": -(2**63)}},
    {"exif": {"f_number": math.nan}},
    {"exif": {"f_number": 1e300}},
    {"exif": {"camera_make": ["a"]}},
    {"exif": {"camera_make": None}},
    {"exif": {"a b": 1}},
    {"exif": {f"tag{number}": number for number in range(101)}},
    {"exif": None},
    {"location": {"latitude": math.inf}},
    {"location": {f"place{number}": 1 for number in range(4)}},
    {"colors": [{"hex": "#000000", "share": math.inf}]},
    {"colors": [{}] * 17},
    {"blurhash": ""},
    {"perceptual_hash": "0x00000000000000"},
    {"perceptual_hash_algorithm": "a\x00"},
]


@pytest.mark.parametrize("change", HOSTILE_FACTS, ids=lambda change: repr(change)[:60])
def test_a_fact_that_cannot_be_stored_is_not_believed(change: dict[str, Any]) -> None:
    decode_processed(REQUEST, HEADER, [])
    with pytest.raises((ValueError, TypeError)):
        decode_processed(REQUEST, HEADER | {"facts": asdict(FACTS) | change}, [])


@pytest.mark.parametrize(
    "change",
    [
        {"worker_rss_bytes": -1},
        {"worker_rss_bytes": math.inf},
        {"worker_cpu_seconds": "1"},
        {"step_seconds": {"a\nb": 1.0}},
        {"step_seconds": {"decode": -1.0}},
        {"step_seconds": {f"step{number}": 1.0 for number in range(51)}},
        {"facts": None},
        {"facts": {}},
    ],
    ids=repr,
)
def test_a_figure_that_cannot_be_counted_is_not_believed(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode_processed(REQUEST, HEADER | change, [])


@pytest.mark.parametrize(
    "change",
    [
        {"preset": "../../thumb"},
        {"preset": "large"},
        {"content_type": "text/html"},
        {"width_px": 0},
        {"frames": 2**40},
    ],
    ids=repr,
)
def test_a_derivative_that_was_not_asked_for_is_not_believed(change: dict[str, Any]) -> None:
    request = ProcessingRequest(presets=ProcessingRequest().presets[:1])
    entry = {"preset": "thumb", "width_px": 4, "height_px": 3, "frames": 1, "content_type": "image/webp"}
    decode_processed(request, HEADER | {"derivatives": [entry]}, [b"content"])
    with pytest.raises((ValueError, TypeError)):
        decode_processed(request, HEADER | {"derivatives": [entry | change]}, [b"content"])


@pytest.mark.parametrize(
    "change",
    [
        {"analyzer": "quality"},
        {"analyzer": "no-such"},
        {"parameters": {"colors": 3}},
        {"parameters": []},
        {"version": "1\x00"},
        {"result": COLORS | {"mean_chroma": math.inf}},
        {"result": COLORS | {"mean_chroma": 1e300}},
        {"result": COLORS | {"palette": [{"hex": "#000000", "name": "\ud800", "share": 1.0}]}},
        {"result": COLORS | {"palette": [{"hex": "#000000", "name": "x" * 20_001, "share": 1.0}]}},
        {"result": None, "failure": "no-such-failure"},
        {"result": None, "failure": None},
    ],
    ids=lambda change: repr(change)[:60],
)
def test_a_result_that_cannot_be_stored_is_not_believed(change: dict[str, Any]) -> None:
    request = AnalysisRequest((AnalysisOrder("colors"),))
    decode_analyzed(request, ANALYZED, [])
    for decode in (
        lambda: decode_analyzed(request, ANALYZED | {"outcomes": [OUTCOME | change]}, []),
        lambda: decode_processed(
            ProcessingRequest(presets=(), analyses=request.analyses), HEADER | {"analyses": [OUTCOME | change]}, []
        ),
    ):
        _refused(decode)


def _refused(decode: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        decode()


@pytest.mark.parametrize("content", [b'{"a": NaN}', b'{"a": -Infinity}', b"{", b"\xff"])
def test_what_is_no_json_is_not_read(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_json(content)


def test_a_message_for_people_holds_no_control_characters() -> None:
    assert bounded_text("a\x00b\ud800c\n" + "x" * 400) == "a b c " + "x" * 294


def test_values_that_nobody_can_store_are_left_out_by_the_worker() -> None:
    fitting = {"iso": 200, "f_number": 2.8, "flash_fired": True, "camera_make": "Make", "exposure_bias": -2.0}
    others = {
        "a": 3 * 10**38, "b": 1e300, "c": math.nan, "d": -math.inf, "e": "a\x00b", "f": "\ud800", "g": "x" * 1001,
        "h": -(2**63),
    }  # fmt: skip
    assert fitting_facts(fitting | others) == fitting


def test_a_finished_picture_makes_the_way_up() -> None:
    encoded = encode_answer(PROCESSED)
    assert (
        decode_processed(ProcessingRequest(), read_json(encoded[0][4:]), [bytes(part) for part in encoded[1:]])
        == PROCESSED
    )
