"""Rows that go in after a text encoder, in the place of its states."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from support import Unplugged, asked, learn, run, train_state
from word_files import write_as

from pseudoword import formats, methods
from pseudoword.api import generate, train
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.word import NewWord
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.formats import keys
from pseudoword.models import base_model
from pseudoword.models.compatibility import check_compatible
from pseudoword.models.family import Family
from pseudoword.models.reading.injection import rows_of
from pseudoword.training import initialisation, loss
from pseudoword.training.batches import batch
from pseudoword.training.initialisation import begin, initial_rows, output_rows, turn

PROMPT = ["a photo of <cat> in red"]


@pytest.fixture
def placing(any_family: Family) -> Family:
    """A family whose denoiser reads one state for each token."""
    try:
        rows_for(any_family)
    except SettingsError as error:
        pytest.skip(str(error))
    return any_family


def test_a_denoiser_that_reads_several_states_for_a_token_has_no_place_for_them(
    tmp_path: Path,
) -> None:
    family = base_model.load_named(str(tiny.flux2(tmp_path)), "cpu")
    with pytest.raises(SettingsError, match="--output-embedding does not work"):
        rows_for(family)


def rows_for(family: Family, vectors: int = 2) -> dict[str, torch.Tensor]:
    return dict(initial_rows(family, NewWord("<cat>", "cat", "auto"), vectors, 0, output=True))


def test_the_gradient_reaches_the_rows_and_passes_no_encoder(
    placing: Family, pictures: Path
) -> None:
    state = train_state(placing, pictures)
    state.method = methods.begin(begin(placing, rows_for(placing)), state.hyper)
    rows = asked(state)
    assert {key.removesuffix("_out") for key in rows} == set(placing.encoders)
    loss.losses(placing, [rows], batch(placing, [state.data], 0))[0].backward()
    for parameter in state.method.parameters():
        assert parameter.grad is not None
        assert (parameter.grad.abs().amax(1) > 0).all()
    after = [key for key in rows if key.endswith("_out")]
    assert after
    for key in after:
        plain = key.removesuffix("_out")
        encoded = placing.encoders[plain](PROMPT, rows_of({"<cat>": rows}, plain))
        assert not encoded.part("last_hidden_state").requires_grad


def test_states_at_the_word_s_positions_are_its_rows_and_the_others_do_not_depend_on_them(
    placing: Family,
) -> None:
    rows = rows_for(placing)
    other = {key: own + 1 if key.endswith("_out") else own for key, own in rows.items()}
    found, changed = (placing.encode_text(PROMPT, {"<cat>": own}) for own in (rows, other))
    where = (found.hidden != changed.hidden).any(-1)[0]
    after = [own for key, own in rows.items() if key.endswith("_out")]
    # SD 3 and SDXL join states along their width, so that encoders share positions
    assert len(after[0]) <= int(where.sum()) <= sum(map(len, after))
    numbers = found.hidden[0, where].flatten()
    for own in after:
        assert torch.isin(own.flatten(), numbers).all()
    if found.pooled is not None:
        assert changed.pooled is not None
        assert torch.equal(found.pooled, changed.pooled)


def test_a_word_begins_as_the_states_of_its_first_words(placing: Family) -> None:
    plain = initial_rows(placing, NewWord("<cat>", "cat", "auto"), 1, 0)
    text = ["a photo of <cat>"]
    as_words = placing.encode_text(text, {"<cat>": plain})
    as_states = placing.encode_text(text, {"<cat>": output_rows(placing, plain)})
    same = (as_words.hidden == as_states.hidden).all(-1)[0]
    assert same.any()  # at its own position; zeros are read there, so the others may differ


def test_a_run_is_resumed_to_the_same_bytes_draws_and_is_converted(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"output_embedding": True, "steps": 4, "checkpoint_every": 2}
    whole = learn(base, pictures, tmp_path / "whole", **settings)
    options: dict[str, Any] = {"base": str(base), "init": "cat", "batch": 2, "preview": ()}
    with pytest.raises(RuntimeError, match="unplugged"):
        train(
            *(pictures, "<cat>"),
            **{**options, **settings},
            out=tmp_path / "cut",
            progress=Unplugged(after=3),
        )
    again = learn(base, pictures, tmp_path / "cut", **settings)
    files = [(one.folder / "concept.safetensors").read_bytes() for one in (whole, again)]
    assert files[0] == files[1]
    assert whole.effect > 0
    assert set(whole.concept.vectors) == {"clip_l_out"}
    drawn, plain = (
        generate(prompt, concept=[str(whole.folder)], base=str(base), sampler_steps=2)[0].tobytes()
        for prompt in ("a photo of <cat>", "a photo of cat")
    )
    assert drawn != plain
    theirs = tmp_path / "theirs.safetensors"
    assert run("convert", whole.folder, theirs, "--format", "onetrainer")[0] == 0
    assert set(load_file(theirs)) == {"emp_params_out"}
    code, _, said = run("convert", whole.folder, tmp_path / "x.safetensors", "--format", "comfyui")
    assert code != 0
    assert "no output embeddings" in said


def test_files_have_onetrainer_s_keys_and_are_read_back(placing: Family, tmp_path: Path) -> None:
    rows = {
        key: torch.ones(1, keys.WIDTHS[keys.base_encoder(key)]) * (i + 1)
        for i, key in enumerate(rows_for(placing))
    }
    word = Concept("<cat>", rows, placing.name)
    for name in ("native", "onetrainer"):
        write_as(word, tmp_path / "cat.safetensors", name)
        back = formats.read(tmp_path / "cat.safetensors")
        assert set(back.vectors) == set(rows)
        assert all(torch.equal(back.vectors[key], own) for key, own in rows.items())
    written = set(load_file(tmp_path / "cat.safetensors"))
    assert placing.name != "flux" or written == {"clip_l", "t5_out"}
    others = [name for name in formats.WRITERS if name not in {"native", "onetrainer"}]
    assert all(formats.WRITERS[name].refuses(word) for name in others)


def test_zeros_that_onetrainer_writes_beside_the_rows_are_what_the_encoder_reads(
    tmp_path: Path,
) -> None:
    family = base_model.load_named(str(tiny.pixart(tmp_path / "base")), "cpu")
    rows = rows_for(family)["t5xxl_out"]
    save_file({"t5": torch.zeros(2, 32), "t5_out": rows}, tmp_path / "cat.safetensors")
    concept = formats.read(tmp_path / "cat.safetensors", "<cat>")
    check_compatible(concept, family)
    found = family.encode_text(PROMPT, {"<cat>": concept.vectors})
    ours = family.encode_text(PROMPT, {"<cat>": {"t5xxl_out": rows}})
    assert torch.equal(found.hidden, ours.hidden)
    word = NewWord("<cat>", str(tmp_path / "cat.safetensors"), "file")
    again = initial_rows(family, word, 2, 0, output=True)
    assert set(again) == {"t5xxl_out"}
    with pytest.raises(ConceptError, match="Continue it with --output-embedding"):
        initialisation.check(word, 2)


def test_a_layered_word_begins_as_its_rows_for_all_layers(family: Family, tmp_path: Path) -> None:
    plain = {"clip_l": initial_rows(family, NewWord("<cat>", "cat", "auto"), 1, 0)["clip_l"]}
    layers = {f"clip_l.{layer}": -plain["clip_l"] for layer in family.layers}
    for name, vectors in (("plain", plain), ("layered", plain | layers)):
        word = formats.encode(Concept("<cat>", vectors, family.name), "native")[""]
        (tmp_path / f"{name}.safetensors").write_bytes(word)
    files = (str(tmp_path / f"{name}.safetensors") for name in ("plain", "layered"))
    expected, found = (
        initial_rows(family, NewWord("<cat>", file, "file"), 1, 0, output=True) for file in files
    )
    assert {key: rows.tolist() for key, rows in found.items()} == {
        key: rows.tolist() for key, rows in expected.items()
    }


def test_both_kinds_of_words_are_in_one_prompt(family: Family) -> None:
    after, before = rows_for(family), initial_rows(family, NewWord("<dog>", "dog", "auto"), 1, 0)
    prompt = ["a <cat> and a <dog>"]
    both = family.encode_text(prompt, {"<cat>": after, "<dog>": before})
    alone = family.encode_text(prompt, {"<cat>": after, "<dog>": {"clip_l": before["clip_l"] * 2}})
    cat = torch.isin(both.hidden[0], after["clip_l_out"]).all(-1)
    assert int(cat.sum()) == 2
    assert torch.equal(both.hidden[0, cat], alone.hidden[0, cat])
    assert not torch.equal(both.hidden, alone.hidden)


def test_rows_of_another_width_are_refused(family: Family) -> None:
    wide = Concept("<cat>", {"clip_l_out": torch.ones(1, 33)})
    with pytest.raises(ConceptError, match="33"):
        check_compatible(wide, family)
    with pytest.raises(ConceptError, match=r"width 33 .* have 32"):
        family.encode_text(PROMPT, {"<cat>": wide.vectors})


def test_a_word_is_turned_towards_the_states_it_began_as(family: Family) -> None:
    known = {"init": "cat", "init_mode": "rows"}
    moved = {key: own + torch.randn(own.shape) for key, own in rows_for(family).items()}
    concept = Concept("<cat>", moved, provenance=known)
    back = turn(family, concept, 1.0).vectors["clip_l_out"]
    goal = rows_for(family)["clip_l_out"]
    assert torch.allclose(
        torch.nn.functional.normalize(back, dim=1),
        torch.nn.functional.normalize(goal, dim=1),
        atol=1e-5,
    )


@pytest.mark.parametrize("other", [{"method": "layered"}, {"keep_context": 0.1}])
def test_settings_that_contradict_it_are_refused(other: dict[str, Any], pictures: Path) -> None:
    with pytest.raises(SettingsError, match="--output-embedding"):
        TrainConfig.check(pictures=(pictures,), token="<cat>", output_embedding=True, **other)
