import orjson

from image_core.delivery.rendition_requests import SOURCE_RECIPE, eager_requests, rendition_request
from image_core.delivery.spec import Recipe, output_size
from image_core.events import EventType, Topic
from image_core.ids import new_id
from image_core.images.presets import Preset

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def test_a_request_holds_ids_and_names_only() -> None:
    image_id, team_id = new_id(), new_id()
    asked = rendition_request(image_id, team_id, 2**60, "card", "avif", TRACE)
    message = asked.message()
    body = orjson.loads(message.data)
    assert asked.topic is Topic.RENDITIONS
    assert (body["image_id"], body["team_id"], body["type"]) == (str(image_id), str(team_id), EventType.RENDER)
    assert body["data"] == {"generation": str(2**60), "spec": "card", "format": "avif"}
    assert message.attributes["googclient_traceparent"] == TRACE


def test_eager_presets_ask_for_every_format_but_the_one_that_processing_makes() -> None:
    presets = [
        Preset("card", Recipe(width_px=640), ("webp", "avif", "jpeg"), is_eager=True),
        Preset("lazy", Recipe(width_px=64), ("avif",)),
        Preset("plain", Recipe(width_px=32), is_eager=True),
    ]
    asked = eager_requests(new_id(), new_id(), 7, presets)
    assert [(each.payload["spec"], each.payload["format"]) for each in asked] == [("card", "avif"), ("card", "jpeg")]


def test_the_source_keeps_frames_and_is_bounded_on_its_longest_side() -> None:
    assert SOURCE_RECIPE.animated
    assert output_size(SOURCE_RECIPE, 8192, 2048) == (4096, 1024)
