import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_core.analyses.results import LabelsParameters, LabelsResult
from image_engine.analyzers.onnx_labels import OnnxLabels
from image_engine.analyzers.onnx_model import OnnxModel, prepared
from image_engine.models.description import LabelsDescription, ModelBroken, ModelInput, ModelMissing
from image_engine.models.loading import read_model
from image_engine.picture.analysis_picture import AnalysisPicture
from image_engine.testing.models import color_model, identity_model, write_model

ALL = LabelsParameters(max_labels=100, min_score=0)


def picture(srgb: Any) -> AnalysisPicture:
    srgb = np.asarray(srgb, dtype=np.uint8)
    return AnalysisPicture(srgb, None, None, srgb.shape[1], srgb.shape[0], "png", 1, 8, "rgb")


def plain(*color: int, width: int = 30, height: int = 20) -> AnalysisPicture:
    return picture(np.full((height, width, 3), color))


def labels(folder: Path) -> OnnxLabels:
    return OnnxLabels(OnnxModel(read_model(str(folder), LabelsDescription)))


def scores(result: LabelsResult) -> dict[str, float]:
    return {each.label: each.score for each in result.labels}


def broken(folder: Path) -> str:
    with pytest.raises(ModelBroken) as raised:
        labels(folder)
    return str(raised.value)


class TestClassification:
    @pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
    def test_each_colour_is_known(self, tmp_path: Path, layout: str) -> None:
        wanted = {"width_px": 8, "height_px": 8, "resize": "stretch", "layout": layout}
        model = labels(write_model(tmp_path, color_model(layout=layout), input=wanted))
        found = scores(model.analyze(plain(255, 51, 0), ALL))
        assert found == {"red": pytest.approx(1), "green": pytest.approx(0.2), "blue": 0}
        assert list(found) == ["red", "green", "blue"]
        assert list(scores(model.analyze(plain(0, 51, 255), ALL))) == ["blue", "green", "red"]

    def test_bgr_turns_the_channels(self, tmp_path: Path) -> None:
        wanted = {"width_px": 8, "height_px": 8, "resize": "stretch", "channels": "BGR"}
        model = labels(write_model(tmp_path, input=wanted))
        assert scores(model.analyze(plain(255, 0, 0), ALL)) == {"blue": pytest.approx(1), "red": 0, "green": 0}

    def test_softmax_and_sigmoid_are_what_they_are_called(self, tmp_path: Path) -> None:
        softmax = labels(write_model(tmp_path / "a", activation="softmax"))
        sigmoid = labels(write_model(tmp_path / "b", activation="sigmoid"))
        e = np.e
        assert scores(softmax.analyze(plain(255, 0, 0), ALL))["red"] == pytest.approx(e / (e + 2))
        assert scores(sigmoid.analyze(plain(255, 0, 0), ALL)) == {
            "red": pytest.approx(e / (e + 1)), "green": 0.5, "blue": 0.5,
        }  # fmt: skip

    def test_parameters_choose_the_labels(self, tmp_path: Path) -> None:
        model = labels(write_model(tmp_path))
        few = model.analyze(plain(255, 51, 102), LabelsParameters(max_labels=1, min_score=0))
        sure = model.analyze(plain(255, 51, 102), LabelsParameters(min_score=0.3))
        assert (list(scores(few)), list(scores(sure))) == (["red"], ["red", "blue"])

    def test_answer_and_version_name_the_model(self, tmp_path: Path) -> None:
        model = labels(write_model(tmp_path))
        result = model.analyze(plain(1, 2, 3), ALL)
        assert (result.source, result.notice, result.model.name) == ("onnx", None, "colors")
        assert model.version == f"1+{(result.model.sha256 or '')[:12]}"

    def test_labels_may_lie_in_a_file(self, tmp_path: Path) -> None:
        write_model(tmp_path, labels="names.txt")
        (tmp_path / "names.txt").write_text("rot\ngrün\nblau\n")
        assert list(scores(labels(tmp_path).analyze(plain(0, 255, 10), ALL))) == ["grün", "blau", "rot"]

    def test_model_for_one_picture_at_a_time_is_taken(self, tmp_path: Path) -> None:
        model = labels(write_model(tmp_path, color_model(batch=1)))
        pictures = [plain(255, 0, 0), plain(0, 0, 255)]
        model.run_ahead(pictures)
        assert [next(iter(scores(model.analyze(each, ALL)))) for each in pictures] == ["red", "blue"]


class TestPreparation:
    """What a model gets is compared with what its description says, worked out here with NumPy alone."""

    gradient = np.arange(8 * 8 * 3).reshape(8, 8, 3).astype(np.uint8)

    @pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
    @pytest.mark.parametrize("channels", ["RGB", "BGR"])
    def test_values_follow_the_formula(self, layout: str, channels: str) -> None:
        mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
        wanted = ModelInput.model_validate(
            {"width_px": 8, "height_px": 8, "resize": "stretch", "layout": layout, "channels": channels,
             "mean": mean, "std": std}
        )  # fmt: skip
        pixels = self.gradient[:, :, ::-1] if channels == "BGR" else self.gradient
        expected = (pixels / 255 - np.array(mean)) / np.array(std)
        expected = expected.transpose(2, 0, 1) if layout == "NCHW" else expected
        assert np.allclose(prepared(self.gradient, wanted), expected, atol=1e-5)

    def test_model_itself_gets_them(self, tmp_path: Path) -> None:
        names = [f"value {index}" for index in range(192)]
        model = labels(write_model(tmp_path, identity_model(8), labels=names))
        found = scores(model.analyze(picture(self.gradient), LabelsParameters(max_labels=100, min_score=0)))
        channel_first = self.gradient.transpose(2, 0, 1).ravel() / 255
        assert len(found) == 100
        assert all(
            score == pytest.approx(channel_first[int(name.split()[1])], abs=1e-6) for name, score in found.items()
        )

    @staticmethod
    def columns(width: int, height: int) -> Any:
        """Left quarter red, middle green, right quarter blue."""
        pixels = np.zeros((height, width, 3), dtype=np.uint8)
        pixels[:, : width // 4, 0] = pixels[:, width // 4 : -(width // 4), 1] = pixels[:, -(width // 4) :, 2] = 255
        return pixels

    def resized(self, pixels: Any, **wanted: Any) -> Any:
        described = {"width_px": 8, "height_px": 8, "layout": "NHWC", **wanted}
        return np.rint(prepared(pixels, ModelInput.model_validate(described)) * 255)

    def test_centre_crop_keeps_the_proportions(self) -> None:
        found = self.resized(self.columns(64, 32), resize="center-crop", crop_share=1.0)
        assert (found[:, 1:-1] == (0, 255, 0)).all()
        assert (found[:, :, 1] > 200).all()

    def test_crop_share_leaves_a_border_out(self) -> None:
        pixels = np.full((64, 64, 3), 255, dtype=np.uint8)
        pixels[8:-8, 8:-8] = 0
        assert self.resized(pixels, resize="center-crop", crop_share=0.5).max() == 0
        assert self.resized(pixels, resize="center-crop", crop_share=1.0).max() > 200

    def test_stretch_takes_the_whole_picture(self) -> None:
        found = self.resized(self.columns(64, 32), resize="stretch")
        assert (found[:, 0] == (255, 0, 0)).all()
        assert (found[:, 3] == (0, 255, 0)).all()
        assert (found[:, 7] == (0, 0, 255)).all()

    def test_pad_fills_what_is_left(self) -> None:
        found = self.resized(self.columns(64, 32), resize="pad", pad_level=7)
        assert (found[:2] == 7).all()
        assert (found[-2:] == 7).all()
        assert (found[3, 0] == (255, 0, 0)).all()
        assert (found[3, 7] == (0, 0, 255)).all()

    def test_shrinking_counts_every_pixel(self) -> None:
        stripes = np.zeros((64, 64, 3), dtype=np.uint8)
        stripes[:, ::2] = 255
        found = self.resized(stripes, resize="stretch")[:, 1:-1]
        assert abs(found - 127.5).max() <= 2

    @pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 5), (768, 2)])
    @pytest.mark.parametrize("resize", ["center-crop", "stretch", "pad"])
    def test_any_picture_gets_the_shape(self, size: tuple[int, int], resize: str) -> None:
        pixels = np.full((*size, 3), 200, dtype=np.uint8)
        wanted = ModelInput.model_validate({"width_px": 9, "height_px": 7, "resize": resize})
        assert prepared(pixels, wanted).shape == (3, 7, 9)


class TestBrokenModels:
    def test_another_file_is_refused(self, tmp_path: Path) -> None:
        write_model(tmp_path)
        (tmp_path / "model.onnx").write_bytes(color_model(side_px=16))
        assert "SHA-256" in broken(tmp_path)

    def test_file_that_is_no_model_is_refused(self, tmp_path: Path) -> None:
        assert "onnxruntime cannot load" in broken(write_model(tmp_path, b"no model"))

    def test_other_input_size_is_refused(self, tmp_path: Path) -> None:
        told = broken(write_model(tmp_path, color_model(side_px=16)))
        assert told == "The model takes (N, 3, 16, 16), the description says (1, 3, 8, 8)."

    def test_other_layout_is_refused(self, tmp_path: Path) -> None:
        assert "the description says (1, 3, 8, 8)" in broken(write_model(tmp_path, color_model(layout="NHWC")))

    def test_other_number_of_labels_is_refused(self, tmp_path: Path) -> None:
        told = broken(write_model(tmp_path, labels=["one", "two"]))
        assert told == "The model gives (1, 3), the description says (1, 2)."

    def test_fixed_batch_is_refused(self, tmp_path: Path) -> None:
        assert "4 pictures at once" in broken(write_model(tmp_path, color_model(batch=4)))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"sha256": "12"}, "sha256"),
            ({"labels": []}, "labels"),
            ({"labels": "../labels.txt"}, "labels"),
            ({"activation": "relu"}, "activation"),
            ({"colour": 1}, "colour"),
            ({"input": {"width_px": 0, "height_px": 8}}, "input.width_px"),
            ({"input": {"width_px": 8, "height_px": 8, "std": [1, 0, 1]}}, "every std"),
            ({"input": {"width_px": 8, "height_px": 8, "mean": [1, 0]}}, "input.mean"),
        ],
    )
    def test_description_that_is_not_valid_names_the_field(
        self, tmp_path: Path, change: dict[str, Any], told: str
    ) -> None:
        assert told in broken(write_model(tmp_path, **change))

    def test_description_that_is_no_json_is_refused(self, tmp_path: Path) -> None:
        write_model(tmp_path)
        (tmp_path / "model.json").write_text("{")
        assert "description is not valid" in broken(tmp_path)

    @pytest.mark.parametrize("name", ["model.onnx", "model.json"])
    def test_absent_file_is_missing(self, tmp_path: Path, name: str) -> None:
        (write_model(tmp_path) / name).unlink()
        with pytest.raises(ModelMissing, match=name):
            labels(tmp_path)

    def test_description_lies_beside_a_named_file(self, tmp_path: Path) -> None:
        write_model(tmp_path)
        for suffix in ("onnx", "json"):
            (tmp_path / f"model.{suffix}").rename(tmp_path / f"colors-v1.{suffix}")
        assert json.loads((tmp_path / "colors-v1.json").read_text())["name"] == "colors"
        labels(tmp_path / "colors-v1.onnx")


class TestOutputsThatAreWrong:
    def test_no_number_breaks_one_answer(self, tmp_path: Path) -> None:
        """The logarithm of a mean below 0.2 is none; each picture is judged by itself, also in a batch."""
        model = labels(write_model(tmp_path, color_model(log_of=0.2), activation="softmax"))
        bright, dark = plain(255, 200, 180), plain(9, 9, 9)
        model.run_ahead([bright, dark, bright])
        for each in (bright, dark):
            if each is dark:
                with pytest.raises(ModelBroken, match="no numbers"):
                    model.analyze(each, ALL)
            else:
                assert next(iter(scores(model.analyze(each, ALL)))) == "red"

    def test_scores_out_of_range_need_an_activation(self, tmp_path: Path) -> None:
        model = labels(write_model(tmp_path, color_model(weights=np.eye(3) * 4)))
        with pytest.raises(ModelBroken, match="activation"):
            model.analyze(plain(255, 255, 255), ALL)

    def test_batch_gives_what_each_alone_gives(self, tmp_path: Path) -> None:
        model = labels(write_model(tmp_path, activation="softmax"))
        random = np.random.default_rng(3)
        pictures = [picture(random.integers(0, 256, (20, 30, 3))) for _ in range(11)]
        alone = [model.analyze(each, ALL) for each in pictures]
        model.run_ahead(pictures)
        together = [model.analyze(each, ALL) for each in pictures]
        for one, other in zip(alone, together, strict=True):
            assert scores(one) == pytest.approx(scores(other), abs=1e-6)


def test_runtime_reports_to_nobody(tmp_path: Path) -> None:
    # Its telemetry keeps what it is going to send below the home directory, from the import on.
    code = "import image_engine.analyzers.onnx_model"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "HOME": str(tmp_path)}, check=True, timeout=60)
    assert list(tmp_path.rglob("*onnxruntime*")) == []
