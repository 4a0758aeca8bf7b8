"""What the built-in analyzers cost, and how steady and even their results are.

    uv run --frozen python -m benchmarks.analyzers [PICTURE.jpg] [--more FOLDER]

Cost is CPU time of this process, the least of several rounds, beside the decode of the same picture with three
derivatives; a photograph of 12 megapixels is made when none is given. Steadiness and evenness are measured on drawn
faces of known colour, and steadiness also on the picture itself. `--more` prints the results of every picture in a
folder.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from benchmarks.machine import describe
from image_core.analyses.catalogue import CATALOGUE
from image_engine.analyzers.skin import CELL_PX, cells_of, skin_cells
from image_engine.contract.limits import PictureLimits
from image_engine.contract.picture_file import open_picture_file
from image_engine.contract.requests import AnalysisOrder, AnalysisRequest, ProcessingRequest
from image_engine.picture.analysis_picture import AnalysisPicture, prepare_picture
from image_engine.testing.faces import face
from image_engine.testing.pictures import analyzed, photograph
from image_engine.worker.analysis import BUILT_IN, analyze_picture
from image_engine.worker.pipeline import process_picture

ROUNDS = 9


def least_cpu_seconds(run: Callable[[], object]) -> float:
    run()
    seconds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        run()
        seconds.append(time.process_time() - started)
    return min(seconds)


def print_cost(content: bytes) -> None:
    with open_picture_file() as file:
        file.write(content)
        descriptor = file.fileno()

        def prepare() -> AnalysisPicture:
            return prepare_picture(descriptor, PictureLimits(), detail=True, camera=True)

        request = AnalysisRequest(tuple(AnalysisOrder(name) for name in CATALOGUE))
        picture = prepare()
        megapixels = picture.width_px * picture.height_px / 1e6
        costs = {
            "decode with three derivatives": lambda: process_picture(
                descriptor, ProcessingRequest(), time.monotonic() + 60
            ),
            "decode for analyzers": prepare,
            **{name: _alone(name, picture) for name in CATALOGUE},
            "all analyzers": lambda: _together(picture),
            "all analyzers and their decode": lambda: analyze_picture(descriptor, request, time.monotonic() + 60),
        }
        measured = {name: least_cpu_seconds(run) for name, run in costs.items()}
    whole = measured["decode with three derivatives"]
    print(f"\n{'':32} CPU ms  ms/MP  beside decode with three derivatives   ({megapixels:.1f} MP)")
    for name, seconds in measured.items():
        print(f"{name:32} {seconds * 1e3:6.1f} {seconds * 1e3 / megapixels:6.2f}  {seconds / whole:.2f}")
    print(f"All analyzers beside the decode: {measured['all analyzers'] / whole:.2f} (goal: 0.50)")


def _fresh(picture: AnalysisPicture) -> AnalysisPicture:
    """The same pixels, with nothing calculated yet that analyzers share."""
    return AnalysisPicture(**{name: getattr(picture, name) for name in AnalysisPicture.__dataclass_fields__})


def _alone(name: str, picture: AnalysisPicture) -> Callable[[], object]:
    return lambda: BUILT_IN[name].analyze(_fresh(picture), CATALOGUE[name].parameters())


def _together(picture: AnalysisPicture) -> None:
    shared = _fresh(picture)
    for analyzer in BUILT_IN.values():
        analyzer.analyze(shared, analyzer.spec.parameters())


# --- Steadiness ---------------------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[pyvips.Image], bytes]] = {
    "0.5 x": lambda image: image.resize(0.5).jpegsave_buffer(Q=92),
    "JPEG 70": lambda image: image.jpegsave_buffer(Q=70),
    "turned 90": lambda image: image.rot90().jpegsave_buffer(Q=92),
}
SKIN = ("ita_degrees", "redness", "redness_share", "shine", "texture", "evenness", "confidence", "skin_share")
QUALITY = ("sharpness", "exposure", "contrast", "dynamic_range", "colorfulness", "noise", "blockiness")


def print_steadiness(name: str, images: list[pyvips.Image], analyzer: str, measures: tuple[str, ...]) -> None:
    """The largest change of each measure over the images, and how often the words of the answer changed."""
    print(f"\n{name}: largest change of each measure")
    print(f"{'':10}" + "".join(f"{measure:>15}" for measure in measures) + "   words changed")
    before = [analyzed(image.jpegsave_buffer(Q=92), analyzer) for image in images]
    for change, apply in CHANGES.items():
        after = [analyzed(apply(image), analyzer) for image in images]
        differences = [
            max(abs((new[measure] or 0) - (old[measure] or 0)) for old, new in zip(before, after, strict=True))
            for measure in measures
        ]
        words = sum(_words(old) != _words(new) for old, new in zip(before, after, strict=True))
        print(f"{change:10}" + "".join(f"{value:15.3f}" for value in differences) + f"   {words} of {len(images)}")


def _words(result: dict[str, Any]) -> list[Any]:
    return [result.get(name) for name in ("verdict", "skin_type", "tone", "issues", "temperature", "grey")]


def print_palette_steadiness(image: pyvips.Image) -> None:
    print("\nPalette of the picture: shares of its three largest colours")
    for change, apply in {"as it is": lambda same: same.jpegsave_buffer(Q=92), **CHANGES}.items():
        result = analyzed(apply(image), "colors")
        colors = ", ".join(f"{color['hex']} {color['share']:.3f}" for color in result["palette"][:3])
        print(f"{change:10} {colors}; warmth {result['warmth']:.3f}, chroma {result['mean_chroma']:.2f}")


# --- Evenness across skin tones -----------------------------------------------------------------------------------


def print_evenness() -> None:
    print("\nFaces of known ITA°: recall and precision of the skin that is found, and what is measured")
    print(" ITA   recall  precision  confidence  measured ITA  shine of 0.15  redness of 0.20  rough is dry")
    for ita in range(-50, 61, 10):
        image, is_skin = face(ita)
        recall, precision = _found(image.jpegsave_buffer(Q=92), is_skin)
        plain, shiny, red, rough = (
            analyzed(face(ita, **more)[0].jpegsave_buffer(Q=92), "skin")
            for more in ({}, {"shine": 0.15}, {"redness": 9.0}, {"grain": 2.5})
        )
        print(
            f"{ita:4} {recall:8.3f} {precision:10.3f} {plain['confidence']:11.2f} {plain['ita_degrees']:13.1f} "
            f"{shiny['shine']:14.3f} {red['redness_share']:16.3f} {rough['skin_type'] == 'dry'!s:>13}"
        )


def _found(content: bytes, is_skin: Any) -> tuple[float, float]:
    with open_picture_file() as file:
        file.write(content)
        picture = prepare_picture(file.fileno(), PictureLimits(), detail=False, camera=False)
    found = skin_cells(cells_of(picture))
    height_px, width_px = picture.srgb.shape[:2]
    truth = pyvips.Image.new_from_array(is_skin.astype(np.uint8) * 255).thumbnail_image(width_px, height=height_px)
    share = truth.shrink(CELL_PX, CELL_PX).numpy()[: found.shape[0], : found.shape[1]] / 255
    return float((found * share).sum() / share.sum()), float((found * share).sum() / found.sum())


def print_each(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.suffix in {".jpg", ".heic", ".tiff", ".png", ".webp"}:
            print(f"\n{path.name}")
            for name in CATALOGUE:
                result = analyzed(path.read_bytes(), name)
                print(f"  {name}: { {key: value for key, value in result.items() if key != 'notice'} }")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", type=Path)
    parser.add_argument("--more", type=Path)
    options = parser.parse_args()
    print(describe("numpy", "pyvips"))
    with tempfile.TemporaryDirectory() as folder:
        path = options.picture or Path(folder) / "photograph.jpg"
        if not options.picture:
            path.write_bytes(photograph())
            print("picture: made, 4000 x 3000")
        content = path.read_bytes()
    pyvips.concurrency_set(1)
    print_cost(content)
    image = pyvips.Image.new_from_buffer(content, "").copy_memory()
    faces = [face(ita)[0].resize(2) for ita in range(-50, 61, 10)]
    print_steadiness("Twelve faces of 1,800 x 2,400, ITA -50 to 60", faces, "skin", SKIN)
    print_steadiness("The picture", [image], "quality", QUALITY)
    print_palette_steadiness(image)
    print_evenness()
    if options.more:
        print_each(options.more)


if __name__ == "__main__":
    main()
