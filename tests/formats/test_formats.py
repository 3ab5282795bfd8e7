import errno
from pathlib import Path
from unicodedata import normalize

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support import SHARED
from word_files import write_word

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats import embedding_file, keys, layouts, native

tokens = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
tokens = tokens.map(lambda token: normalize("NFC", token)).filter(lambda t: t != "__metadata__")


@example("hada_w0", 1, 4, 0)  # called like a weight of a LoRA
@given(tokens, st.integers(1, 75), st.sampled_from([4, 768, 1024]), st.integers(0, 9))
def test_what_is_written_is_read_bit_for_bit(token: str, n: int, width: int, seed: int) -> None:
    rows = torch.randn(n, width, generator=torch.Generator().manual_seed(seed))
    concept = Concept(token, {"clip_l": rows}, "sd", provenance={"steps": "3"})
    data = native.dump(concept)
    (back,) = layouts.read_concepts(embedding_file.parse(data, "x.safetensors"))
    assert (back.token, back.family, back.provenance) == (token, "sd", {"steps": "3"})
    assert torch.equal(back.vectors["clip_l"], rows)
    assert native.dump(back) == data


def test_one_encoder_is_one_tensor_under_the_token(tmp_path: Path) -> None:
    rows = torch.randn(2, 8, dtype=torch.float16)
    write_word(Concept("<cat>", {"clip_l": rows}), tmp_path / "a.safetensors")
    (item,) = load_file(tmp_path / "a.safetensors").items()
    assert item[0] == "<cat>"
    assert item[1].dtype == torch.float32
    assert torch.equal(item[1], rows.float())


def test_two_encoders_are_two_tensors_under_their_keys(tmp_path: Path) -> None:
    vectors = {"clip_l": torch.randn(2, 8), "clip_g": torch.randn(2, 12)}
    write_word(Concept("<cat>", vectors), tmp_path / "a.safetensors")
    back = formats.read(tmp_path / "a.safetensors")
    assert back.token == "<cat>"
    assert all(torch.equal(back.vectors[k], v) for k, v in vectors.items())


def test_foreign_files_are_read_and_the_token_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "watercolour.safetensors"
    save_file({"<wet>": torch.ones(768)}, path)
    concept = formats.read(path)
    assert (concept.token, concept.vectors["clip_l"].shape) == ("<wet>", (1, 768))
    assert formats.read(path, token="<dry>").token == "<dry>"
    save_file({"emb_params": torch.ones(3, 1024, dtype=torch.float16)}, path)
    concept = formats.read(path)
    assert (concept.token, concept.vectors["clip_h"].shape) == ("watercolour", (3, 1024))


@pytest.mark.parametrize(
    ("name", "encoders"),
    [
        ("emb_params-8v-EasyNegative", {"clip_l": (8, 768)}),
        ("sdxl-11v-ScoresNeg", {"clip_l": (11, 768), "clip_g": (11, 1280)}),
        ("sdxl-2v-Detail", {"clip_l": (2, 768), "clip_g": (2, 1280)}),
        ("t5xxl-88v-CharDetail", {"t5xxl": (88, 4096)}),
    ],
)
def test_real_safetensors_files_of_other_tools(
    name: str, encoders: dict[str, tuple[int, int]]
) -> None:
    path = SHARED / "embeddings" / f"{name}.safetensors"
    if not path.exists():
        pytest.skip("no sample files here")
    found = formats.read(path).vectors
    assert {key: tuple(rows.shape) for key, rows in found.items()} == encoders
    raw = load_file(path)
    assert all(torch.equal(rows, raw.get(key, rows).float()) for key, rows in found.items())


def test_what_is_no_concept_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(ConceptError, match="cannot be read"):
        formats.read(path)
    with pytest.raises(ConceptError, match=r"holds no concept\.safetensors.*Give a run's folder"):
        formats.read(tmp_path)
    for name in "ba":
        write_word(
            Concept("<a>", {"clip_l": torch.ones(1, 2)}), tmp_path / name / "concept.safetensors"
        )
    with pytest.raises(ConceptError, match=r"but folders in it do: a, b\. Give one"):
        formats.read(tmp_path)
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(ConceptError, match="not a safetensors file"):
        formats.read(path)
    save_file({"a": torch.ones(1, 2), "b": torch.ones(1, 2)}, path)
    with pytest.raises(ConceptError, match="not one concept"):
        formats.read(path)
    save_file({"conv": torch.ones(1, 2, 3, 3)}, path)
    with pytest.raises(ConceptError, match="no embedding"):
        formats.read(path)
    with path.open("wb") as file:
        file.truncate(embedding_file.LARGEST_NBYTES + 1)
    with pytest.raises(ConceptError, match="not an embedding"):
        formats.read(path)
    with path.open("r+b") as file:
        file.write(bytes(8) + b"{")  # a header of no bytes: not of all that there are
    with pytest.raises(ConceptError, match="not an embedding"):
        formats.read(path)


def test_a_pickle_named_safetensors_is_refused_and_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    torch.save(Bomb(), tmp_path / "a.safetensors")
    with pytest.raises(ConceptError):
        formats.read(tmp_path / "a.safetensors")
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_nobody_may_look_into_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_at(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", looked_at)
    with pytest.raises(ConceptError, match=f"{tmp_path} cannot be read: Permission denied"):
        formats.read(tmp_path)


def test_each_width_of_a_text_encoder_stands_for_one() -> None:
    """A file that names no encoder is read by its width."""
    for known in keys.KNOWN.values():
        assert keys.WIDTHS[keys.encoder_of_width(known.width)] == known.width
