import numpy as np
import numpy.typing as npt
import pytest
import pyvips

from image_core.analyses.results import SKIN_NOTICE
from image_engine.analyzers.skin import CELL_PX, cells_of, ita_degrees, skin_cells, tone_of
from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.picture.analysis_picture import prepare_picture
from image_engine.testing.faces import face
from image_engine.testing.pictures import analyzed, photograph, png, scene

TONES = range(-50, 61, 22)


def measured(image: pyvips.Image, quality: int = 92) -> dict[str, object]:
    return analyzed(image.jpegsave_buffer(Q=quality), "skin")


def recall_and_precision(image: pyvips.Image, is_skin: npt.NDArray[np.bool_]) -> tuple[float, float]:
    with open_picture_file() as file:
        file.write(image.jpegsave_buffer(Q=92))
        picture = prepare_picture(file.fileno(), PictureLimits(), detail=False, camera=False)
    found = skin_cells(cells_of(picture))
    truth = pyvips.Image.new_from_array(is_skin.astype(np.uint8) * 255)
    truth = truth.thumbnail_image(picture.srgb.shape[1], height=picture.srgb.shape[0]).shrink(CELL_PX, CELL_PX)
    share = truth.numpy()[: found.shape[0], : found.shape[1]] / 255
    return float((found * share).sum() / share.sum()), float((found * share).sum() / found.sum())


@pytest.mark.parametrize("ita", TONES)
def test_skin_of_every_tone_is_found_and_named(ita: int) -> None:
    image, is_skin = face(ita)
    recall, precision = recall_and_precision(image, is_skin)
    assert recall > 0.95
    assert precision > 0.9
    result = measured(image)
    assert result["ita_degrees"] == pytest.approx(ita, abs=3)
    assert (result["verdict"], result["confidence"], result["reasons"]) == ("measured", 0.9, [])
    assert (result["skin_type"], result["issues"]) == ("normal", [])


@pytest.mark.parametrize("ita", [-45, 0, 50])
def test_what_is_on_the_skin_is_seen_on_every_tone(ita: int) -> None:
    plain = measured(face(ita)[0])
    shiny, red, rough = (
        measured(face(ita, **changes)[0]) for changes in ({"shine": 0.15}, {"redness": 9}, {"grain": 2.5})
    )
    assert plain["shine"] == 0
    assert shiny["shine"] == pytest.approx(0.15, abs=0.04)
    assert (shiny["skin_type"], shiny["issues"]) == ("oily", ["shine"])
    assert red["redness_share"] == pytest.approx(0.2, abs=0.05)
    assert red["issues"] == ["redness"]
    assert red["evenness"] < plain["evenness"] - 0.05  # type: ignore[operator]
    assert rough["texture"] > 2 * plain["texture"]  # type: ignore[operator]
    assert (rough["skin_type"], rough["issues"]) == ("dry", ["texture"])


@pytest.mark.parametrize("ita", [-45, 50])
def test_what_else_has_the_colour_of_skin_is_left_out(ita: int) -> None:
    image, _ = face(ita)
    # As wood behind somebody.
    sand = (image.new_from_image([196, 150, 112])).crop(0, 0, 250, 700).copy(interpretation="srgb")
    alone, beside = measured(image), measured(image.insert(sand, 900, 0, expand=True, background=[90, 110, 120]))
    assert beside["ita_degrees"] == pytest.approx(alone["ita_degrees"], abs=2)
    assert beside["evenness"] == pytest.approx(alone["evenness"], abs=0.02)


def test_skin_in_many_places_is_not_measured() -> None:
    small = face(20)[0].resize(0.4)
    many = pyvips.Image.arrayjoin([small] * 12, across=4, shim=20, background=[90, 110, 120])
    result = measured(many)
    assert (result["verdict"], result["reasons"]) == ("cannot-tell", ["little-skin", "mixed-surface"])


def test_some_shine_is_combination_skin() -> None:
    assert measured(face(20, shine=0.06)[0])["skin_type"] == "combination"


@pytest.mark.parametrize("ita", [-45, 20, 55])
@pytest.mark.parametrize("change", ["half", "recompressed", "turned"])
def test_result_is_stable(ita: int, change: str) -> None:
    image, _ = face(ita)
    # A picture that is still larger than the working size when it is halved.
    before = measured(image.resize(2) if change == "half" else image)
    after = {
        "half": lambda: measured(image),
        "recompressed": lambda: measured(image, quality=70),
        "turned": lambda: measured(image.rot90()),
    }[change]()
    for name in ("verdict", "skin_type", "issues", "tone"):
        assert after[name] == before[name]
    for name, difference in {"ita_degrees": 3, "redness": 1.5, "shine": 0.01, "evenness": 0.1, "texture": 0.15}.items():
        assert after[name] == pytest.approx(before[name], abs=difference), name


def test_patches_of_known_color_have_their_angle() -> None:
    # L* 65, a* 12, b* 18 and L* 35, a* 10, b* 14.
    for lab, angle in (((65, 12, 18), 39.81), ((35, 10, 14), -46.97)):
        assert ita_degrees(lab[0], lab[2]) == pytest.approx(angle, abs=0.01)
        image = (pyvips.Image.black(400, 300, bands=3) + list(lab)).copy(interpretation="lab").colourspace("srgb")
        # A frame of white paper, so that the picture is not taken for a dark one.
        framed = image.cast("uchar").embed(60, 60, 520, 420, extend="white")
        result = analyzed(framed.pngsave_buffer(), "skin")
        assert result["ita_degrees"] == pytest.approx(angle, abs=1)
        assert result["redness"] == pytest.approx(lab[1], abs=0.5)


def test_classes_are_those_of_the_literature() -> None:
    angles = (60, 55, 45, 41, 30, 28, 20, 10, 0, -30, -40)
    names = ["very-light", "light", "light", "intermediate", "intermediate", "tan", "tan", "brown", "brown"]
    assert [tone_of(angle) for angle in angles] == [*names, "dark", "dark"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: photograph(900, 600), "little-skin"),
        (lambda: scene().pngsave_buffer(), "mixed-surface"),
        (lambda: png(np.full((100, 100, 3), 128.0)), "little-skin"),
        (lambda: face(20)[0].resize(0.3).embed(900, 900, 2000, 2000, extend="copy").jpegsave_buffer(), "little-skin"),
        (lambda: (face(20)[0] * 0.22).cast("uchar").copy(interpretation="srgb").pngsave_buffer(), "bad-light"),
        (lambda: face(20)[0].gaussblur(14).jpegsave_buffer(), "blurred"),
    ],
)
def test_what_cannot_be_told_is_not_told(content: object, reason: str) -> None:
    result = analyzed(content(), "skin")  # type: ignore[operator]
    assert result["verdict"] == "cannot-tell"
    assert reason in result["reasons"]
    assert result["confidence"] < 0.4
    assert (result["skin_type"], result["issues"]) == (None, [])
    assert {result[name] for name in ("ita_degrees", "tone", "redness", "shine", "texture", "evenness")} == {None}


def test_white_wall_beside_a_face_is_no_shine() -> None:
    image, _ = face(50)
    pixels = image.numpy().copy()
    lab = image.colourspace("lab").numpy()
    pixels[(lab[..., 0] > 50) & (np.hypot(lab[..., 1], lab[..., 2]) < 5)] = 250
    assert analyzed(png(pixels), "skin")["shine"] == 0


def test_result_says_what_it_is_not_and_infers_nothing_about_a_person() -> None:
    result = measured(face(20)[0])
    assert result["notice"] == SKIN_NOTICE
    assert "not medical advice" in SKIN_NOTICE
    assert not {"age", "gender", "sex", "ethnicity", "race", "identity"} & result.keys()
