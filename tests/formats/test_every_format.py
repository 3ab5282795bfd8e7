"""Every reader and every writer, on files as other tools make them."""

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import embedding_files
import numpy as np
import pytest
import torch
from embedding_files import LAYERS, THEIRS, G, H, L, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file
from support import SHARED
from torch import Tensor
from word_files import write_as, write_word

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.config.written_files import ENDINGS
from pseudoword.errors import ConceptError
from pseudoword.formats import (
    WRITERS,
    embedding_file,
    keys,
    layouts,
    pictures,
    safetensors_file,
)

SAMPLES = sorted((SHARED / "embeddings").glob("*")) if SHARED.exists() else []


def same(one: Concept, other: Concept) -> bool:
    """Whether token and all vectors are equal, bit for bit."""
    return (
        one.token == other.token
        and set(one.vectors) == set(other.vectors)
        and all(bits(one.vectors[k]) == bits(v) for k, v in other.vectors.items())
    )


def bits(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().numpy().tobytes()) + str(list(tensor.shape)).encode()


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("encoders", [("clip_l",), ("clip_l", "clip_g"), ("t5xxl",)])
def test_a_word_as_long_as_a_prompt_is_read_back_from_what_holds_it(
    encoders: tuple[str, ...], name: str, tmp_path: Path
) -> None:
    word = Concept("<cat>", {key: rows(256 if key == "t5xxl" else 77, keys.WIDTHS[key])
                             for key in encoders})  # fmt: skip
    if WRITERS[name].refuses(word):
        with pytest.raises(ConceptError, match="Possible formats: native"):
            write_as(word, tmp_path / "a", name)
        if name == "diffusers-bin":
            assert f"{word.length} rows" in str(WRITERS[name].refuses(word))
        return
    written, *_ = write_as(word, tmp_path / f"a{ENDINGS[name]}", name)
    assert same(formats.read(written), word)


@pytest.mark.parametrize("name", THEIRS)
def test_files_of_other_tools_are_read(name: str, tmp_path: Path) -> None:
    _, layout, expected = THEIRS[name]
    for ending in (".bin", ".safetensors", ".png", ""):
        content = formats.read_file(embedding_files.write(name, tmp_path, ending))
        assert content.layout == layout
        assert [concept.token for concept in content.concepts] == [token for token, _ in expected]
        for concept, (token, vectors) in zip(content.concepts, expected, strict=True):
            assert same(concept, Concept(token, vectors))
            assert list(concept.vectors) == sorted(concept.vectors, key=keys.encoder_order)
            assert not concept.family or len(vectors) == len(concept.vectors)


CONCEPTS = {
    "sd1": Concept("<cat>", {"clip_l": L}, "sd", provenance={"steps": "3", "base": "some"}),
    "sd2": Concept("a cat", {"clip_h": H}, "sd"),
    "sdxl": Concept("<cat>", {"clip_l": L, "clip_g": G}, "sdxl", provenance={"seed": "1"}),
    "würstchen": Concept("Katze (süß)", {"clip_g": G}, "wuerstchen"),
    "flux": Concept("<cat>", {"clip_l": L, "t5xxl": rows(2, 4096)}, "flux"),
    "sd3": Concept("<cat>", {"clip_l": L, "clip_g": G, "t5xxl": rows(3, 4096)}, "sd3"),
    "sd3 without T5": Concept("<cat>", {"clip_l": L, "clip_g": G}, "sd3"),
    "chroma": Concept("<cat>", {"t5xxl": rows(2, 4096)}, "chroma"),
    "auraflow": Concept("<cat>", {"pile_t5xl": rows(1, 2048)}, "auraflow"),
    "qwen-image": Concept("<cat>", {"qwen25_7b": rows(2, 3584)}, "qwen-image"),
    "z-image": Concept("<cat>", {"qwen3_4b": rows(2, 2560)}, "z-image"),
    "flux2 klein": Concept("<cat>", {"qwen3_8b": rows(2, 4096)}, "flux2"),
    "flux2": Concept("<cat>", {"mistral3_24b": rows(2, 5120)}, "flux2"),
    "hidream": Concept(
        "<cat>",
        {"clip_l": L, "clip_g": G, "t5xxl": rows(3, 4096), "llama": rows(3, 4096, 5)},
        "hidream",
    ),
    "sana": Concept("猫", {"gemma2_2b": rows(2, 2304)}, "sana"),
    "layered": Concept(
        "<cat>",
        {f"clip_l.{layer}": L + i for i, layer in enumerate(LAYERS.split())},
        "sd",
        "layered",
    ),
    "layered, and for all": Concept(
        "<cat>",
        {"clip_l": L, **{f"clip_l.{layer}": L + 1 for layer in LAYERS.split()}},
        "sd",
        "layered",
        {"steps": "3"},
    ),
    "layered SDXL, and for all": Concept(
        "<cat>",
        {"clip_l": L, "clip_l.MID": L + 1, "clip_g": G, "clip_g.MID": G + 1},
        "sdxl",
        "layered",
    ),
    "output": Concept("<cat>", {"clip_l_out": L, "clip_g_out": G}),
}
FITTING = [
    (writer, kind)
    for writer in WRITERS
    for kind, concept in CONCEPTS.items()
    if not WRITERS[writer].refuses(concept)
]


@pytest.mark.parametrize(("writer", "kind"), FITTING)
def test_each_reader_reads_what_its_writer_wrote(writer: str, kind: str, tmp_path: Path) -> None:
    concept = CONCEPTS[kind]
    path = tmp_path / f"file{ENDINGS[writer]}"
    written = write_as(concept, path, writer)
    back = formats.read(path)
    assert same(back, concept)
    if not writer.endswith("bin"):  # a bare tensor under the token holds nothing else
        assert (back.family, back.method) == (concept.family, concept.method)
        assert back.provenance == concept.provenance
    first = [part.read_bytes() for part in written]
    assert first == [part.read_bytes() for part in write_as(back, path, writer)] or (
        writer.endswith("bin") and not back.provenance
    )


def test_the_matrix_covers_every_writer_and_concept() -> None:
    assert {writer for writer, _ in FITTING} == set(WRITERS)
    assert {kind for _, kind in FITTING} == set(CONCEPTS)


@pytest.mark.parametrize(("writer", "kind"), FITTING)
def test_a_conversion_between_any_two_formats_keeps_every_bit(
    writer: str, kind: str, tmp_path: Path
) -> None:
    concept = CONCEPTS[kind]
    path = tmp_path / f"one{ENDINGS[writer]}"
    write_as(concept, path, writer)
    middle = formats.read(path)
    for other, found in ((w, k) for w, k in FITTING if k == kind):
        onward = tmp_path / f"{other}{ENDINGS[other]}"
        write_as(middle, onward, other)
        assert same(formats.read(onward), concept), found


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_real_files_convert_to_every_format_that_can_hold_them(path: Path, tmp_path: Path) -> None:
    token, family, shapes = {
        "a1111-2v-bad-hands-5.pt": ("bad-hands-5", "sd", {"clip_l": (2, 768)}),
        "a1111-8v-bad_prompt_version2.pt": ("bad_prompt_version2", "sd", {"clip_l": (8, 768)}),
        "diffusers-1d-watercolor.bin": ("<birb-style>", "sd", {"clip_l": (1, 768)}),
        "emb_params-8v-EasyNegative.safetensors": (
            "emb_params-8v-EasyNegative",
            "sd",
            {"clip_l": (8, 768)},
        ),
        "sdxl-11v-ScoresNeg.safetensors": (
            "sdxl-11v-ScoresNeg",
            "sdxl",
            {"clip_l": (11, 768), "clip_g": (11, 1280)},
        ),
        "sdxl-2v-Detail.safetensors": (
            "sdxl-2v-Detail",
            "sdxl",
            {"clip_l": (2, 768), "clip_g": (2, 1280)},
        ),
        "t5xxl-88v-CharDetail.safetensors": (
            "t5xxl-88v-CharDetail",
            None,
            {"t5xxl": (88, 4096)},
        ),
    }[path.name]
    concept = formats.read(path)
    assert (concept.token, concept.family) == (token, family)
    assert {key: tuple(v.shape) for key, v in concept.vectors.items()} == shapes
    raw = _raw(path)
    assert sorted(bits(v)[: 4 * v.numel()] for v in concept.vectors.values()) == raw
    held = [name for name, writer in WRITERS.items() if not writer.refuses(concept)]
    assert len(held) >= 5
    for name in held:
        out = tmp_path / f"{name}{ENDINGS[name]}"
        write_as(concept, out, name)
        assert same(formats.read(out), concept), name


def _raw(path: Path) -> list[bytes]:
    """The tensors' bytes, read without our code."""
    if path.suffix == ".safetensors":
        found = list(load_file(path).values())
    else:
        whole = torch.load(path, weights_only=True, map_location="cpu")
        found = list(whole.get("string_to_param", whole).values())
    return sorted(t.detach().float().numpy().tobytes() for t in found)


def test_files_look_as_their_tools_expect(tmp_path: Path) -> None:
    def names(kind: str, writer: str) -> set[str]:
        write_as(CONCEPTS[kind], tmp_path / "file", writer)
        return set(load_file(tmp_path / "file"))

    assert names("sd1", "kohya") == {"emb_params"}
    assert names("sdxl", "kohya") == {"clip_l", "clip_g"}
    assert names("sdxl", "sdxl") == {"clip_l", "clip_g"}
    assert names("sd1", "onetrainer") == {"emp_params"}
    assert names("flux", "onetrainer") == {"clip_l", "t5"}
    assert names("flux", "comfyui") == {"clip_l", "t5xxl"}
    assert names("sana", "onetrainer") == {"gemma"}
    assert names("sana", "comfyui") == {"gemma2_2b"}
    assert names("sd3", "onetrainer") == {"clip_l", "clip_g", "t5"}
    assert names("hidream", "onetrainer") == {"clip_l", "clip_g", "t5", "llama"}
    for kind in ("sd3", "chroma", "auraflow", "qwen-image", "z-image", "flux2", "hidream", "sana"):
        assert names(kind, "native") == names(kind, "comfyui") == set(CONCEPTS[kind].vectors)
    assert names("output", "onetrainer") == {"clip_l_out", "clip_g_out"}
    assert names("layered", "xti") == set(LAYERS.split())
    assert names("sdxl", "diffusers") == {"<cat>"}
    assert load_file(tmp_path / "file")["<cat>"].shape == (3, 768)
    assert load_file(tmp_path / "file_2")["<cat>"].shape == (3, 1280)
    write_as(CONCEPTS["sd2"], tmp_path / "file", "kohya")
    with safe_open(tmp_path / "file", "pt") as file:
        message = file.metadata()
    assert message["modelspec.architecture"] == "stable-diffusion-v2-512/textual-inversion"
    assert message["modelspec.trigger_phrase"] == "a cat"
    without_t5 = Concept("<cat>", {"clip_l": L, "clip_g": G}, "sd3")
    write_as(without_t5, tmp_path / "file", "kohya")
    with safe_open(tmp_path / "file", "pt") as file:
        assert file.metadata()["modelspec.architecture"] == "stable-diffusion-3/textual-inversion"
    assert formats.read(tmp_path / "file").family == "sd3"
    write_as(CONCEPTS["sd1"], tmp_path / "cat.pt", "a1111")
    theirs = torch.load(tmp_path / "cat.pt", weights_only=True)
    assert theirs["string_to_token"] == {"*": 265}
    assert torch.equal(theirs["string_to_param"]["*"], L)
    assert (theirs["name"], theirs["step"], theirs["sd_checkpoint_name"]) == ("<cat>", 3, "some")


def test_any_png_reader_finds_the_text_chunk(tmp_path: Path) -> None:
    shown = Image.new("RGB", (40, 24), "orange")
    write_as(CONCEPTS["sd1"], tmp_path / "cat.png", "a1111-png", shown)
    picture = Image.open(tmp_path / "cat.png")
    assert picture.tobytes() == shown.tobytes()
    text = picture.text["sd-ti-embedding"]  # type: ignore[attr-defined]
    found = json.loads(base64.b64decode(text))
    assert found["name"] == "<cat>"
    assert found["string_to_token"] == {"*": 265}
    numbers = torch.tensor(found["string_to_param"]["*"]["TORCHTENSOR"])
    assert torch.equal(numbers, L)


@pytest.mark.parametrize("size", [(64, 32), (33, 47), (512, 256)])
@pytest.mark.parametrize("kind", ["a1111-pixels", "a1111-webp"])
def test_hidden_pixels_are_beside_the_picture(
    size: tuple[int, int], kind: str, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    noise[:, 5] = 0  # a black column of the picture's own
    write_as(CONCEPTS["sd1"], tmp_path / "cat.png", kind, Image.fromarray(noise))
    whole = np.asarray(Image.open(tmp_path / "cat.png").convert("RGB"))
    side = (whole.shape[1] - size[0] - 2) // 2
    assert np.array_equal(whole[:, side + 1 : side + 1 + size[0]], noise)
    assert not whole[:, side].any()
    assert not whole[:, -side - 1].any()
    content = formats.read_file(tmp_path / "cat.png")
    assert content.container == "pixels"
    assert same(content.concepts[0], CONCEPTS["sd1"])
    # black all around, as picture viewers add it, does not matter
    framed = np.pad(whole, ((9, 4), (7, 11), (0, 0)))
    Image.fromarray(framed).save(tmp_path / "framed.png")
    assert same(formats.read(tmp_path / "framed.png"), CONCEPTS["sd1"])


def hidden_as_described(concept: Concept, picture: Image.Image) -> Image.Image:
    """Hide a word step by step as AUTOMATIC1111 is described, with none of our code."""
    param = {"*": {"TORCHTENSOR": concept.vectors["clip_l"].tolist()}}
    items = {"string_to_token": {"*": 265}, "string_to_param": param, "name": concept.token}
    packed = np.frombuffer(zlib.compress(json.dumps(items).encode(), 9), np.uint8)
    height = picture.height
    size = len(packed) + height - len(packed) % height
    size += 3 * height - size % (3 * height)
    first = np.abs(concept.vectors["clip_l"].numpy()[0][:1024])
    shades = (first / first.max() * 255).astype(np.uint8)
    blocks = []
    for nibbles, order in ((packed & 15, shades), (packed >> 4, shades[::-1])):
        block = np.resize(nibbles, size).reshape(height, -1, 3)
        dots = Image.new("RGB", (block.shape[1], height))
        pen, count = ImageDraw.Draw(dots), 0
        for x in range(-6, dots.width, 8):
            for line, y in enumerate(range(-6, height, 8)):
                left, shade = x + (4 if line % 2 == 0 else 0), int(order[count % len(order)])
                pen.ellipse((left, y, left + 6, y + 6), fill=(shade, shade, shade))
                count += 1
        block = block ^ (np.asarray(dots) & 0xF0)
        state, noise = 0, []
        for _ in range(block.size):
            state = (1664525 * state + 1013904223) % 2**32
            noise.append(state % 255 & 15)
        blocks.append(block ^ np.array(noise, np.uint8).reshape(block.shape))
    black = np.zeros((height, 1, 3), np.uint8)
    return Image.fromarray(
        np.concatenate([blocks[0], black, np.asarray(picture), black, blocks[1]], axis=1)
    )


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_pixels_hidden_by_the_description_are_read(ending: str, tmp_path: Path) -> None:
    whole = hidden_as_described(CONCEPTS["sd1"], Image.new("RGB", (40, 128), "orange"))
    whole.save(tmp_path / f"cat.{ending}", lossless=True)
    assert same(formats.read(tmp_path / f"cat.{ending}"), CONCEPTS["sd1"])


def test_the_largest_word_that_a_picture_takes_is_read_again(tmp_path: Path) -> None:
    count = pictures.LARGEST_JSON_NBYTES // pictures.NUMBER_NBYTES // 1024
    longest = -rows(count, 1024).abs() / 1e4  # small numbers have the most digits
    concept = Concept("<cat>", {"clip_h": longest})
    write_as(concept, tmp_path / "cat.png", "a1111-png")
    assert same(formats.read(tmp_path / "cat.png"), concept)
    more = Concept("<cat>", {"clip_h": longest.repeat(2, 1)})
    with pytest.raises(ConceptError, match="too many for a picture"):
        write_as(more, tmp_path / "more.png", "a1111-png")


def test_a_word_of_many_rows_for_many_layers_is_read_again(tmp_path: Path) -> None:
    both = {"clip_l": rows(24, 768), "clip_g": rows(24, 1280)}
    layers = {f"{key}.up.{i}": tensor + i for key, tensor in both.items() for i in range(70)}
    concept = Concept("<cat>", both | layers, "sdxl", "layered")  # as many as SDXL has
    write_word(concept, tmp_path / "cat.safetensors")
    found = formats.read(tmp_path / "cat.safetensors")
    assert (same(found, concept), found.method, found.family) == (True, "layered", "sdxl")


def test_a_picture_with_lossy_compression_is_an_error_that_says_why(tmp_path: Path) -> None:
    write_as(CONCEPTS["sd1"], tmp_path / "cat.png", "a1111-pixels")
    for ending in ("webp", "avif"):
        Image.open(tmp_path / "cat.png").save(tmp_path / f"cat.{ending}", quality=50)
        with pytest.raises(ConceptError, match="without an embedding"):
            formats.read(tmp_path / f"cat.{ending}")


def test_sdxl_words_in_two_files_are_one_word(tmp_path: Path) -> None:
    names = [f"learned_embeds{half}{at}" for at in ("", "-steps-500") for half in ("", "_2")]
    for name, tensor in zip(names, (L, G, L, G), strict=True):
        save_file({"<cat>": tensor}, tmp_path / f"{name}.safetensors")
    for path in (tmp_path, *(tmp_path / f"{name}.safetensors" for name in names)):
        found = formats.read(path)
        assert same(found, Concept("<cat>", {"clip_l": L, "clip_g": G}))
        assert found.family == "sdxl"
    save_file({"<dog>": G}, tmp_path / "learned_embeds_2.safetensors")
    assert set(formats.read(tmp_path).vectors) == {"clip_l"}


@pytest.mark.parametrize(
    "token",
    [
        *("*", "clip_l", "clip_g_out", "emb_params", "t5", "step", "name", "string_to_param"),
        *(
            "cat.weight",
            "lora_unet_cat",
            "prompt_embeds",
            "unet:0",
            "diff",
            "exp_avg",
            "logit_scale",
        ),
        *(
            "bundle_emb.x",
            "bundle_emb.x.clip_l",
            "<cat.weight>",
            "model",
            "params",
            "IN01",
            "x" * 900,
        ),
    ],
)
def test_a_word_of_any_name_is_refused_or_read_with_its_name(token: str, tmp_path: Path) -> None:
    for name in ("sd1", "sdxl"):
        concept = formats.with_token(CONCEPTS[name], token)
        for writer in (one for one in WRITERS if not WRITERS[one].refuses(concept)):
            file = tmp_path / f"{writer}-{name}{ENDINGS[writer]}"
            write_as(concept, file, writer, Image.new("RGB", (64, 64)))
            found = formats.read(file)
            assert (found.token, same(found, concept)) == (token, True), writer


@pytest.mark.parametrize("at", ["", "-steps-500"])
@pytest.mark.parametrize(("kept", "lost"), [("", "_2"), ("_2", "")])
@pytest.mark.parametrize("word", ["sdxl", "flux"])
def test_one_of_our_two_files_alone_is_no_word_for_another_model(
    word: str, kept: str, lost: str, at: str, tmp_path: Path
) -> None:
    parts = formats.WRITERS["diffusers"].write(CONCEPTS[word], None)
    path = tmp_path / f"cat{kept}{at}.safetensors"
    path.write_bytes(parts[kept])
    for read in (formats.read_file, lambda path: formats.read_bytes(path.read_bytes(), path)):
        with pytest.raises(ConceptError, match="only a part of") as refusal:
            read(path)
        assert f"should be in cat{lost}{at}.safetensors:" in str(refusal.value)
    (tmp_path / f"cat{lost}{at}.safetensors").write_bytes(parts[lost])
    assert same(formats.read(path), CONCEPTS[word])


def test_files_of_two_trainings_are_not_mixed(tmp_path: Path) -> None:
    word = CONCEPTS["sdxl"]
    earlier = Concept("<cat>", {"clip_l": L + 1, "clip_g": G + 1}, "sdxl", provenance={"seed": "2"})
    write_as(earlier, tmp_path / "cat.safetensors", "diffusers")
    write_word(word, tmp_path / "cat.safetensors")  # beside the old second file
    assert same(formats.read(tmp_path / "cat.safetensors"), word)
    parts = formats.WRITERS["diffusers"].write(word, None)
    (tmp_path / "cat.safetensors").write_bytes(parts[""])
    for name in ("cat", "cat_2"):
        with pytest.raises(ConceptError, match="only a part of"):
            formats.read(tmp_path / f"{name}.safetensors")


def test_what_is_left_of_two_files_is_not_mixed_into_one_that_holds_all(tmp_path: Path) -> None:
    word = CONCEPTS["sdxl"]
    earlier = replace(word, vectors={"clip_l": L + 1, "clip_g": G + 1})  # says nothing of itself
    write_as(earlier, tmp_path / "cat.safetensors", "diffusers")
    write_word(word, tmp_path / "cat.safetensors")
    assert same(formats.read(tmp_path / "cat.safetensors"), word)


def test_a_file_beside_a_word_that_only_has_the_name_of_a_second_one_does_no_harm(
    tmp_path: Path,
) -> None:
    for name in ("cat", "learned_embeds"):
        save_file({"<cat>": L}, tmp_path / f"{name}.safetensors")
        save_file({"x.lora_up.weight": L}, tmp_path / f"{name}_2.safetensors")
    assert same(formats.read(tmp_path / "cat.safetensors"), CONCEPTS["sd1"])
    with pytest.raises(ConceptError, match=r"learned_embeds_2\.safetensors is a LoRA"):
        formats.read(tmp_path)
    parts = formats.WRITERS["diffusers"].write(CONCEPTS["sdxl"], None)
    (tmp_path / "cat.safetensors").write_bytes(parts[""])
    with pytest.raises(ConceptError, match=r"cat_2\.safetensors is a LoRA"):
        formats.read(tmp_path / "cat.safetensors")


def test_a_file_that_is_called_like_the_second_of_nothing_is_read(tmp_path: Path) -> None:
    save_file({"<cat>": L}, tmp_path / "_2")
    assert same(formats.read(tmp_path / "_2"), CONCEPTS["sd1"])


def test_several_words_in_a_file_are_read_apart(tmp_path: Path) -> None:
    path = embedding_files.write("diffusers several", tmp_path)
    assert sorted(c.token for c in formats.read_all(path)) == ["<cat>", "<dog>"]
    assert len(formats.read(path, "<dog>").vectors["clip_l"]) == 1
    with pytest.raises(ConceptError, match="2 words, not one concept: <"):
        formats.read(path)
    with pytest.raises(ConceptError, match="2 words"):
        formats.read(path, "<bird>")


def test_the_embeddings_of_a_large_lora_are_read_without_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = embedding_files.write("LoRA with OneTrainer's words", tmp_path)
    monkeypatch.setattr(embedding_file, "LARGEST_NBYTES", 1000)
    found = {concept.token: concept for concept in formats.read_all(path)}
    assert same(found["<cat>"], Concept("<cat>", {"clip_l": L, "clip_g": G}))
    small = safetensors_file.extract_tensors(path, "", ["bundle_emb.<cat>.clip_l"])
    assert len(small) < path.stat().st_size
    embedding_files.write("SDXL", tmp_path)
    with pytest.raises(ConceptError, match="not an embedding"):
        formats.read(path)


def test_a_format_that_cannot_hold_a_word_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConceptError, match=r"SD 1, SD 2 and SDXL.*Possible formats: native"):
        write_as(CONCEPTS["flux"], tmp_path / "x.pt", "a1111")
    assert not (tmp_path / "x.pt").exists()
    with pytest.raises(ConceptError, match="pixels high"):
        write_as(CONCEPTS["sd1"], tmp_path / "x.png", "a1111-pixels", Image.new("RGB", (9, 1)))


@pytest.mark.parametrize("name", ["a1111-png", "a1111-pixels", "a1111-webp"])
def test_a_word_of_millions_of_numbers_is_not_written_into_a_picture(
    tmp_path: Path, name: str
) -> None:
    """A few bytes of a file may stand for them; as text they would take gigabytes."""
    word = Concept("<cat>", {"clip_l": torch.zeros(1).expand(64, 400_000)})
    with pytest.raises(ConceptError, match="64 x 400000 numbers, too many for a picture"):
        write_as(word, tmp_path / f"a{ENDINGS[name]}", name)


def test_a_word_is_not_hidden_in_a_picture_too_large_to_be_searched(tmp_path: Path) -> None:
    word = Concept("<cat>", {"clip_l": rows(1, 768)})
    with pytest.raises(ConceptError, match="17000 x 1000 pixels is too large"):
        write_as(word, tmp_path / "a.png", "a1111-pixels", Image.new("1", (17_000, 1000)))


tokens = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
tokens = tokens.filter(lambda token: token != "__metadata__")
spaced = st.lists(tokens, min_size=1, max_size=3).map(" ".join)
bracketed = tokens.map(lambda token: f"<{token}>")
dtypes = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64])


@given(
    st.one_of(tokens, spaced, bracketed).map(lambda token: normalize("NFC", token)),
    st.integers(1, 75),
    st.sampled_from([1, 7, 32, 768, 1024]),
    dtypes,
    st.sampled_from([n for n in WRITERS if not WRITERS[n].refuses(CONCEPTS["sd1"])]),
    st.integers(0, 9),
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_token_count_width_and_number_format(
    tmp_path: Path, token: str, n: int, width: int, dtype: torch.dtype, writer: str, seed: int
) -> None:
    made = rows(n, width, seed).mul(10.0 ** (seed - 5)).to(dtype)
    made = made.float().to(dtype)  # float64 that float32 can hold
    (theirs,) = layouts.read_concepts(embedding_file.parse(save({token: made}), "file"))
    encoder = "clip_h" if width == 1024 else "clip_l"
    expected = Concept(token, {encoder: made.float()})
    if token.removesuffix("_out") not in {*keys.UNNAMED, *keys.ONETRAINER, *keys.WIDTHS}:
        assert same(theirs, expected)
    path = tmp_path / f"file{ENDINGS[writer]}"
    write_as(expected, path, writer)
    assert same(formats.read(path), expected)


def test_the_page_on_formats_names_every_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    for name in (*WRITERS, *layouts.LAYOUTS):
        assert f"`{name}`" in page
    table = re.findall(r"^\| `(\w+)` \| (\d+) \| (.*?) \| (.*?) \|", page, re.MULTILINE)
    assert [key for key, *_ in table] == list(keys.KNOWN)
    for key, width, theirs, looked_for in table:
        known = keys.KNOWN[key]
        assert int(width) == known.width
        assert known.comfyui == (looked_for != "no")
        assert not known.onetrainer or theirs == f"`{known.onetrainer}`"


def test_one_file_gives_one_order_and_one_set_of_bytes(tmp_path: Path) -> None:
    names = [f"<{letter}>" for letter in "qwertzuiopasdfgh"]
    path = tmp_path / "several.safetensors"
    text: dict[str, object] = {}
    for i, name in enumerate(names):  # an order that is not the alphabet's
        place = [3072 * i, 3072 * (i + 1)]
        text[name] = {"dtype": "F32", "shape": [1, 768], "data_offsets": place}
    shuffled = dict(sorted(text.items()))
    head = json.dumps(shuffled).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + rows(16, 768).numpy().tobytes())
    written = set()
    for _ in range(5):
        found = formats.read_all(path)
        assert [concept.token for concept in found] == names
        written.add(WRITERS["native"].write(found[0], None)[""])
    assert len(written) == 1
    same_word = []
    for i, data in enumerate((save({"clip_l": L, "clip_g": G}), save({"a": G, "b": L}))):
        (tmp_path / f"{i}").write_bytes(data)
        same_word.append(WRITERS["native"].write(formats.read(tmp_path / f"{i}", "<x>"), None)[""])
    assert same_word[0] == same_word[1]


@pytest.mark.parametrize("writer", WRITERS)
def test_the_same_word_always_gives_the_same_bytes(writer: str) -> None:
    for concept in CONCEPTS.values():
        if not WRITERS[writer].refuses(concept):
            picture = Image.new("RGB", (64, 64))
            first, second = (WRITERS[writer].write(concept, picture) for _ in range(2))
            assert first == second
