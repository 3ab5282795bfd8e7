"""Words with rows for some of a model's text encoders, and words with rows for more."""

from pathlib import Path

import pytest
import tiny
import torch
from support import run
from word_files import write_word

from pseudoword.concept import Concept
from pseudoword.config.word import NewWord
from pseudoword.errors import ConceptError
from pseudoword.models import base_model
from pseudoword.models.compatibility import check_compatible, partly_read
from pseudoword.models.family import Family
from pseudoword.training.initialisation import initial_rows

WIDTHS = {"clip_l": 16, "clip_g": 24, "t5xxl": 48}
VECTORS = {key: torch.full((2, width), 0.3) for key, width in WIDTHS.items()}
WHOLE = Concept("<cat>", VECTORS, "sd3")
T5_ONLY = Concept("<cat>", {"t5xxl": VECTORS["t5xxl"]})


@pytest.fixture(scope="module")
def with_t5(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return base_model.load_named(str(tiny.sd3(tmp_path_factory.mktemp("whole"))), "cpu")


@pytest.fixture(scope="module")
def without_t5(tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tiny.sd3(tmp_path_factory.mktemp("small"), t5=False)
    return base_model.load_named(str(folder), "cpu")


def test_a_word_learned_with_t5_is_read_without_it(without_t5: Family) -> None:
    check_compatible(WHOLE, without_t5)
    fewer = {key: VECTORS[key] for key in ("clip_l", "clip_g")}
    prompt = ["a photo of <cat>, red"]
    found = without_t5.encode_text(prompt, {"<cat>": VECTORS})
    expected = without_t5.encode_text(prompt, {"<cat>": fewer})
    assert torch.equal(found.hidden, expected.hidden)
    assert "no t5xxl" in str(partly_read(WHOLE, without_t5))


def test_a_word_for_t5_alone_is_read_by_t5_alone(with_t5: Family) -> None:
    check_compatible(T5_ONLY, with_t5)
    alone = with_t5.encode_text(["a photo of <cat> here"], {"<cat>": dict(T5_ONLY.vectors)})
    whole = with_t5.encode_text(["a photo of <cat> here"], {"<cat>": VECTORS})
    plain = with_t5.encode_text(["a photo of here"], {})
    clip, t5 = slice(None, 77), slice(77, None)
    assert torch.equal(alone.hidden[:, clip], plain.hidden[:, clip])
    assert alone.pooled is not None
    assert plain.pooled is not None
    assert torch.equal(alone.pooled, plain.pooled)
    assert torch.equal(alone.hidden[:, t5], whole.hidden[:, t5])
    assert not torch.equal(alone.hidden[:, t5], plain.hidden[:, t5])
    assert "no rows for clip_l and clip_g" in str(partly_read(T5_ONLY, with_t5))
    assert partly_read(WHOLE, with_t5) is None


def test_flux_reads_a_word_for_t5_alone(tmp_path: Path) -> None:
    flux = base_model.load_named(str(tiny.flux(tmp_path)), "cpu")
    row = torch.full((2, flux.encoders["t5xxl"].width), 0.3)
    word = Concept("<cat>", {"t5xxl": row})
    check_compatible(word, flux)
    found = flux.encode_text(["a <cat> here"], {"<cat>": {"t5xxl": row}})
    plain = flux.encode_text(["a here"], {})
    assert found.pooled is not None
    assert plain.pooled is not None
    assert torch.equal(found.pooled, plain.pooled)
    assert not torch.equal(found.hidden, plain.hidden)


def test_a_word_in_part_is_never_learned_on(with_t5: Family, tmp_path: Path) -> None:
    file = tmp_path / "word.safetensors"
    write_word(T5_ONLY, file)
    with pytest.raises(ConceptError, match="does not fit"):
        initial_rows(with_t5, NewWord("<cat>", str(file), "file"), 2, 0)


def test_a_word_of_another_kind_of_model_stays_refused(
    with_t5: Family, without_t5: Family, family: Family
) -> None:
    for word, model in (
        (Concept("<cat>", {"clip_l": VECTORS["clip_l"]}), with_t5),
        (Concept("<cat>", {"t5xxl": torch.ones(1, 8)}), with_t5),
        (Concept("<cat>", VECTORS, "hidream"), without_t5),
        (T5_ONLY, without_t5),
        (Concept("<cat>", {"clip_l": torch.ones(1, 32), "clip_g": torch.ones(1, 40)}), family),
    ):
        with pytest.raises(ConceptError, match="does not fit"):
            check_compatible(word, model)


def test_drawing_says_what_is_not_read(without_t5: Family, tmp_path: Path) -> None:
    write_word(WHOLE, tmp_path / "word.safetensors")
    word = ("--concept", tmp_path / "word.safetensors", "--out", tmp_path / "cat.png")
    base = ("--base", without_t5.source.path, "--device", "cpu", "--sampler-steps", "1")
    said = " ".join(" ".join(run("generate", "a <cat>", *word, *base)[1:]).split())
    assert "no t5xxl, so the rows of <cat> for it are not used" in said
    assert (tmp_path / "cat.png").exists()
