"""The models of a pool, as workers report on them."""

import pytest

from image_engine.models.model import EMBEDDING, LABELS, ROLES, Model
from image_engine.pool.worker_models import WorkerModels
from image_engine.worker.loading import LOADERS

IDENTITY = {"name": "new", "version": "2", "sha256": "b" * 64}


def test_every_role_has_a_loader() -> None:
    assert LOADERS.keys() == ROLES.keys()


def test_worker_gets_paths_and_the_failures_of_what_has_none() -> None:
    models = WorkerModels(Model(EMBEDDING, "/vectors"), Model(LABELS, failure="model-missing"))
    assert models.options() == ["--model-failure", "labels", "model-missing", "--model", "embedding", "/vectors"]
    assert WorkerModels().options() == []


def test_model_that_a_worker_names_is_given_up_once_and_keeps_its_version(caplog: pytest.LogCaptureFixture) -> None:
    models = WorkerModels(Model(LABELS, "/labels", IDENTITY), Model(EMBEDDING, "/vectors"))
    for _ in range(2):
        models.record_start("noise\nlabels: onnxruntime: cannot load\n")
    assert models.failures() == {"labels": "model-broken"}
    assert models.versions() == {"labels": "1+bbbbbbbbbbbb"}
    assert models.options() == ["--model-failure", "labels", "model-broken", "--model", "embedding", "/vectors"]
    assert [record.json_fields for record in caplog.records] == [{"reason": "onnxruntime: cannot load"}]  # type: ignore[attr-defined]


def test_models_that_never_loaded_are_suspected_and_given_up_together() -> None:
    models = WorkerModels(Model(LABELS, "/labels"), Model(EMBEDDING, "/vectors"))
    assert models.may_be_to_blame()
    models.give_up("the worker died")
    assert models.failures() == {"labels": "model-broken", "embedding": "model-broken"}
    assert not models.may_be_to_blame()


def test_model_that_has_loaded_before_is_not_suspected() -> None:
    models = WorkerModels(Model(LABELS, "/labels"))
    models.record_start(None)
    assert not models.may_be_to_blame()


def test_only_models_that_answer_are_answering() -> None:
    assert WorkerModels(Model(LABELS, failure="model-missing")).answering() == []
    assert WorkerModels().answering() == [Model(LABELS)]
