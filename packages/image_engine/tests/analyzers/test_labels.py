import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from image_engine.testing.pictures import analyzed, animation, exif_block, jpeg, photograph, png, scene


def drawn(kind: str) -> bytes:
    image = Image.new("RGB", (1200, 900), "white")
    draw = ImageDraw.Draw(image)
    if kind == "document":
        for line in range(40):
            draw.text((80, 60 + 20 * line), "The quick brown fox jumps over the lazy dog. " * 4, fill=(20, 20, 20))
    elif kind == "screenshot":
        draw.rectangle((0, 0, 1200, 60), fill=(40, 60, 110))
        draw.rectangle((0, 60, 260, 900), fill=(225, 230, 238))
        for row in range(12):
            draw.rectangle((20, 90 + 60 * row, 240, 130 + 60 * row), fill=(70, 90, 130))
            draw.rectangle((290, 90 + 60 * row, 1150, 130 + 60 * row), fill=(240, 200, 90), outline=(60, 60, 60))
    else:
        for index, color in enumerate(("crimson", "gold", "teal", "navy")):
            draw.ellipse((60 + 250 * index, 120 + 90 * index, 420 + 250 * index, 480 + 90 * index), fill=color)
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def labels(content: bytes, **parameters: object) -> dict[str, float]:
    return {label["label"]: label["score"] for label in analyzed(content, "labels", **parameters)["labels"]}


@pytest.mark.parametrize("kind", ["document", "screenshot", "graphic"])
def test_drawn_pictures_are_told_apart(kind: str) -> None:
    scores = labels(drawn(kind), min_score=0, max_labels=100)
    kinds = {name: scores[name] for name in ("photograph", "document", "screenshot", "graphic")}
    assert max(kinds, key=lambda name: kinds[name]) == kind
    assert kinds[kind] > 0.5
    assert sum(kinds.values()) == pytest.approx(1, abs=0.001)


def test_photograph_is_a_photograph() -> None:
    assert labels(photograph(1200, 900))["photograph"] > 0.9


def test_camera_speaks_for_a_photograph() -> None:
    image = scene()
    plain, with_camera = (labels(jpeg(image, exif=exif), min_score=0, max_labels=100) for exif in (None, exif_block()))
    assert with_camera["photograph"] >= plain["photograph"]
    assert with_camera["photograph"] > 0.7


def test_looks_are_labelled() -> None:
    assert labels(png(np.full((100, 100, 3), 12.0)))["dark"] > 0.9
    assert labels(png(np.full((100, 100, 3), 250.0)))["bright"] > 0.9
    assert labels(png(np.full((100, 100, 3), 128.0)))["grey"] == 1
    noise = np.random.default_rng(2).normal(128, 20, (400, 400, 1))
    assert labels(png(np.broadcast_to(noise, (400, 400, 3))))["noisy"] == 1
    assert labels(animation("GIF"))["animated"] == 1
    see_through = np.zeros((100, 100, 4))
    see_through[:, :20, 3] = 255
    assert labels(png(see_through))["transparent"] == 1


def test_parameters_bound_the_answer() -> None:
    content = photograph(600, 400)
    assert len(labels(content, max_labels=1)) == 1
    assert all(score >= 0.5 for score in labels(content, min_score=0.5).values())
    assert len(labels(content, min_score=0)) == 10


def test_answer_says_that_no_model_was_asked() -> None:
    result = analyzed(photograph(600, 400), "labels")
    assert (result["source"], result["model"]["sha256"]) == ("built-in", None)
    assert "no model is configured" in result["notice"]
    scores = [label["score"] for label in result["labels"]]
    assert scores == sorted(scores, reverse=True)
