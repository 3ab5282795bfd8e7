"""Models that come with their own code: it is never run, and the user is never asked."""

import builtins
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from PIL import Image

from pseudoword.benchmark.image_similarity import BUNDLED, SimilarityModel
from pseudoword.data import captioning
from pseudoword.errors import BaseModelError
from pseudoword.models import base_model
from pseudoword.progress import Silent

KINDS = (
    *("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoImageProcessor"),
    *("AutoProcessor", "AutoTokenizer"),
)
FILES = ("config", "preprocessor_config", "processor_config", "tokenizer_config")


@pytest.fixture
def with_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Give a copy of a model code that leaves a trace when it runs, in every way there is."""

    def ask(_: object = "") -> str:
        raise AssertionError("a question was asked")

    def add(folder: Path) -> Path:
        model = shutil.copytree(folder, tmp_path / "with-code")
        trace = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        for name in ("own", "model", "pipeline", "modeling_own"):
            (model / f"{name}.py").write_text(f"{trace}class Own: pass\n")
        for file in [model / f"{name}.json" for name in FILES] + [*model.glob("*/*config.json")]:
            config = json.loads(file.read_text()) if file.exists() else {}
            code = dict.fromkeys(KINDS, "own.Own") | {"AutoTokenizer": ["own.Own", None]}
            file.write_text(json.dumps(config | {"auto_map": code}))
        return model

    monkeypatch.setattr(builtins, "input", ask)
    return add


def foreign(model: Path) -> None:
    """Make it of a kind that nobody but its own code knows."""
    for name in FILES:
        file = model / f"{name}.json"
        config = json.loads(file.read_text()) | {"model_type": "own"}
        for key in ("image_processor_type", "processor_class", "tokenizer_class", "architectures"):
            config.pop(key, None)
        file.write_text(json.dumps(config))


def test_the_similarity_model_is_loaded_without_the_code_that_comes_with_it(
    with_code: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = with_code(BUNDLED)
    picture = Image.new("RGB", (8, 8))
    assert SimilarityModel(folder).image_similarity([picture], [picture]) == pytest.approx(
        1, abs=1e-5
    )
    foreign(folder)
    with pytest.raises(BaseModelError, match="it needs code that comes with it, which is never"):
        SimilarityModel(folder)
    assert not (tmp_path / "ran").exists()


def test_a_captioning_model_is_loaded_without_its_code(
    with_code: Callable[[Path], Path], tmp_path: Path
) -> None:
    model = with_code(tiny.captioner(tmp_path / "blip"))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    captioning.write_captions([tmp_path / "a.png"], str(model), Silent())
    (tmp_path / "a.txt").unlink()
    foreign(model)
    with pytest.raises(BaseModelError, match="it needs code that comes with it, which is never"):
        captioning.write_captions([tmp_path / "a.png"], str(model), Silent())
    assert not (tmp_path / "ran").exists()


def test_a_base_model_is_loaded_without_its_code(
    with_code: Callable[[Path], Path], base: Path, tmp_path: Path
) -> None:
    model = with_code(base)
    base_model.load_named(str(model), "cpu").modules()
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps(index | {"unet": ["own", "Own"]}))
    base_model.load_named(str(model), "cpu").modules()
    assert not (tmp_path / "ran").exists()


def test_the_folder_of_a_similarity_model_is_checked_as_a_base_models_is(tmp_path: Path) -> None:
    folder = shutil.copytree(BUNDLED, tmp_path / "folder")
    whole = (folder / "config.json").read_text()
    config = json.loads(whole)
    config["vision_config"]["num_hidden_layers"] = 10**9
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BaseModelError, match="asks for more weights than there are"):
        SimilarityModel(folder)
    (folder / "config.json").write_text(whole)
    (weights,) = folder.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BaseModelError, match="not downloaded to its end"):
        SimilarityModel(folder)
    weights.unlink()
    weights.symlink_to("/dev/zero")
    with pytest.raises(BaseModelError, match="it is a device"):
        SimilarityModel(folder)
