"""Which base model is meant, and what is said of what is none."""

import json
from pathlib import Path

import pytest

from pseudoword.config import BaseChoice
from pseudoword.errors import BaseModelError, PseudowordError
from pseudoword.models.detection import detect


@pytest.mark.parametrize("name", ["nonesuch", "./nonesuch", "a/b/c", ""])
def test_an_unknown_base_is_explained(name: str) -> None:
    with pytest.raises(PseudowordError, match=r"no base model|there is no|is empty"):
        detect(BaseChoice.check(base=name))


def test_a_hub_id_that_cannot_be_fetched_is_explained() -> None:
    with pytest.raises(BaseModelError, match="could not be fetched from the hub"):
        detect(BaseChoice(base="nobody/no-such-model"))


def test_a_folder_that_is_no_model_is_explained(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"holds no model_index\.json"):
        detect(BaseChoice(base=str(tmp_path)))
    (tmp_path / "x.ckpt").touch()
    with pytest.raises(BaseModelError, match="is an empty file"):
        detect(BaseChoice(base=str(tmp_path / "x.ckpt")))


def test_a_model_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "KandinskyPipeline"}))
    with pytest.raises(BaseModelError, match="is a KandinskyPipeline"):
        detect(BaseChoice(base=str(tmp_path)))
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(BaseModelError, match="damaged"):
        detect(BaseChoice(base=str(tmp_path)))


@pytest.mark.parametrize(
    ("pipeline", "plain"),
    [
        ("QwenImageEditPlusPipeline", "QwenImagePipeline"),
        ("FluxKontextPipeline", "FluxPipeline"),
        ("Flux2KleinKVPipeline", "Flux2KleinPipeline"),
        ("StableDiffusion3ControlNetPipeline", "StableDiffusion3Pipeline"),
    ],
)
def test_of_a_model_that_changes_pictures_the_one_that_draws_them_is_named(
    tmp_path: Path, pipeline: str, plain: str
) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    with pytest.raises(BaseModelError, match=f"is a {pipeline}, .*text alone, a {plain}: "):
        detect(BaseChoice(base=str(tmp_path)))
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "QwenImage21Pipeline"}))
    with pytest.raises(BaseModelError, match="is a QwenImage21Pipeline; supported so far"):
        detect(BaseChoice(base=str(tmp_path)))


def test_a_revision_on_the_hub_is_requested(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    def download(name: str, file: str, revision: str | None) -> str:
        requests.append((name, file, revision))
        return str(base / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    source = detect(BaseChoice(base="some/model@v2", variant="fp16")).source
    assert requests == [("some/model", "model_index.json", "v2")]
    assert (source.path, source.revision, source.variant) == ("some/model", "v2", "fp16")
    assert detect(BaseChoice(base="some/model")).source.revision is None
