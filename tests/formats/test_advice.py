"""Each sentence of `inspect` about another tool is compared with what the tool does."""

import contextlib
import copy
import re
import shutil
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import diffusers
import other_tools
import pytest
import tiny
import torch
from diffusers.loaders import TextualInversionLoaderMixin
from embedding_files import THEIRS, G, L, rows, torch_bytes
from PIL import Image
from safetensors.torch import load_file, save, save_file
from support import run
from torch import Tensor
from word_files import write_as, write_word

from pseudoword import api, formats
from pseudoword.commands.push import repository_files
from pseudoword.concept import Concept
from pseudoword.config.written_files import ENDINGS
from pseudoword.formats import WRITERS, EmbeddingFile, embedding_file, keys, names, native
from pseudoword.formats.advice import advise, onetrainer
from pseudoword.formats.keys import base_encoder
from pseudoword.formats.layers import adapted, for_other_tools
from pseudoword.models.families import FAMILIES, load_class

SD = Concept("<cat>", {"clip_l": L}, "sd")
SDXL = Concept("<cat>", {"clip_l": L, "clip_g": G}, "sdxl")
FLUX = Concept("<cat>", {"clip_l": rows(2, 768), "t5xxl": rows(2, 4096)}, "flux")
T5 = Concept("<cat>", {"t5xxl": rows(2, 4096)})
SD2 = Concept("<cat>", {"clip_h": rows(2, 1024)}, "sd")
WÜRSTCHEN = Concept("<cat>", {"clip_g": G}, "wuerstchen")
SANA = Concept("<cat>", {"gemma2_2b": rows(2, 2304)}, "sana")
OUTPUT = Concept("<cat>", {"clip_l_out": L, "clip_g_out": G})
SD3 = Concept("<cat>", {"clip_l": L, "clip_g": G, "t5xxl": rows(3, 4096)}, "sd3")
KLEIN = Concept("<cat>", {"qwen3_4b": rows(2, 2560)})
FLUX2 = Concept("<cat>", {"mistral3_24b": rows(2, 5120)}, "flux2")
QWEN = Concept("<cat>", {"qwen25_7b": rows(2, 3584)}, "qwen-image")
CHROMA = Concept("<cat>", {"t5xxl": rows(2, 4096)}, "chroma")
AURA = Concept("<cat>", {"pile_t5xl": rows(2, 2048)}, "auraflow")
LAYERED, LAYERED_SDXL = (
    replace(
        word,
        vectors={
            **word.vectors,
            **{f"{key}.{layer}": r + 1 for key, r in word.vectors.items() for layer in "AB"},
        },
    )
    for word in (SD, SDXL)
)
NEWER = (SD3, CHROMA, KLEIN, FLUX2, QWEN, AURA)
LAYERS = (LAYERED, LAYERED_SDXL)
WIDTHS = {"clip_l": 768, "clip_h": 1024, "clip_g": 1280, "t5xxl": 4096}

MORE_FILES: dict[str, bytes] = {
    "swapped": save({"clip_l": G, "clip_g": L}),
    "pair": save({"text_encoders_0": L, "text_encoders_1": G}),
    "pair in torch": torch_bytes({"emb": L, "emb2": G}),
    "list of pairs": torch_bytes([{"emb": L, "emb2": G}, {"emb": L, "emb2": G}]),
    "tuple": torch_bytes((L, G)),
    "nested": torch_bytes({"<cat>": {"clip_l": L, "clip_g": G}}),
    "a step beside it": torch_bytes({"<cat>": L, "step": 7}),
    "a text first": torch_bytes({"about": "cats", "<cat>": L}),
    "clip_l of SD 2 behind a text": torch_bytes({"about": "cats", "clip_l": rows(2, 1024)}),
    "SDXL with a text": torch_bytes({"clip_l": L, "clip_g": G, "name": "cat"}),
    "metadata": b"".join(
        (
            (
                len(text := b'{"__metadata__":{"a":1},"c":{"dtype":"F32","shape":[1,768],')
                + len(more := b'"data_offsets":[0,3072]}}')
            ).to_bytes(8, "little"),
            text,
            more,
            bytes(3072),
        )
    ),
    "a word of 2 in a LoRA": save(
        {"unet:0:up": rows(8, 4), "<cat>": L}, {"<cat>": "<embed>", "unet:0:rank": "4"}
    ),
    "one-dimensional SD 2": save({"<cat>": rows(1, 1024)[0]}),
}


def write(folder: Path, name: str, ending: str = "") -> Path:
    """A file of another tool under its usual ending."""
    data = MORE_FILES[name] if name in MORE_FILES else THEIRS[name][0]()
    path = folder / f"file{ending or ('.pt' if data[:2] == b'PK' else '.safetensors')}"
    path.write_bytes(data)
    return path


def advice(path: Path, token: str | None = None) -> tuple[EmbeddingFile, Concept, dict[str, str]]:
    content = formats.read_file(path)
    word = formats.select_concept([content], token) if token else content.concepts[0]
    return content, word, advise(content, word)


def sentences_of(content: EmbeddingFile, tool: str) -> list[tuple[Concept, str]]:
    """What is said of each word of a file, and the word as other tools read it."""
    return [(for_other_tools(word), advise(content, word)[tool]) for word in content.concepts]


def every_file(folder: Path) -> list[Path]:
    """Every kind of file that is read or written here, each in a folder of its own."""
    paths = []
    for name in (*THEIRS, *MORE_FILES):
        (folder / name.replace("/", "-")).mkdir()
        paths.append(write(folder / name.replace("/", "-"), name))
    for writer in WRITERS:
        for i, word in enumerate(
            (SD, SD2, SDXL, FLUX, T5, WÜRSTCHEN, SANA, OUTPUT, *NEWER, *LAYERS)
        ):
            if not WRITERS[writer].refuses(word):
                path = folder / f"{writer} {i}" / f"my-cat{ENDINGS[writer]}"
                paths.append(write_as(word, path, writer, Image.new("RGB", (64, 64)))[0])
    return paths


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return every_file(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny.tokenizer(tmp_path_factory.mktemp("tokenizer"))


class Pipe(TextualInversionLoaderMixin):  # type: ignore[misc]
    """diffusers' own loader, on text encoders that are only a table."""

    hf_device_map = None

    def __init__(self, tokenizer: Any, *encoders: str) -> None:
        self.components: dict[str, Any] = {}
        for i, encoder in enumerate(encoders):
            suffix = f"_{i + 1}" if i else ""
            mine = self.components[f"tokenizer{suffix}"] = copy.deepcopy(tokenizer)
            setattr(self, f"tokenizer{suffix}", mine)
            setattr(self, f"text_encoder{suffix}", other_tools.Table(len(mine), WIDTHS[encoder]))
        self.first = len(tokenizer)

    def rows(self, name: str, suffix: str = "") -> Tensor:
        """The learned rows that a prompt with `name` in it uses."""
        mine = getattr(self, f"tokenizer{suffix}")
        table: Tensor = getattr(self, f"text_encoder{suffix}").table.weight
        ids = mine(self.maybe_convert_prompt(f"a photo of {name}, red", mine)).input_ids
        return table[[i for i in ids if i >= self.first]].detach()


def encoders_of(word: Concept) -> tuple[str, ...]:
    """The text encoders of the pipeline that a word is for."""
    if set(word.vectors) == {"t5xxl"} and word.family != "chroma":
        return ("clip_l", "t5xxl")
    return tuple(word.vectors)


def follow(sentence: str, path: Path, word: Concept, tokenizer: Any) -> tuple[Pipe, str]:
    """Do what the advice for diffusers says; the pipeline, and the name to write."""
    match = re.match(
        r"(load_textual_inversion\(.*\)), then write (.*?)(; or convert|\. Under|$)", sentence
    )
    assert match, sentence
    calls, name = match[1].split(" and "), match[2]
    pipe = Pipe(tokenizer, *encoders_of(word))
    where = {
        "pipe": pipe,
        "file": str(path),
        "file_2": str(path.with_stem(f"{path.stem}_2")),
        "load_file": load_file,
        "torch": torch,
    }
    for call in calls:
        eval(f"pipe.{call}", where)
    return pipe, name


def check_diffusers(path: Path, word: Concept, sentence: str, tokenizer: Any) -> None:
    if sentence.startswith("load_textual_inversion"):
        pipe, name = follow(sentence, path, word, tokenizer)
        suffixes = keys.diffusers_suffixes(word.vectors, word.family) or {}
        for encoder, expected in word.vectors.items():
            assert pipe.rows(name, suffixes[encoder]).equal(expected), (path, sentence)
        return
    if keys.diffusers_suffixes(word.vectors, word.family) is None:
        return  # there is no pipeline with a loader for such encoders: tested below
    for options in ({}, {"token": "<other>"}):
        pipe = Pipe(tokenizer, *encoders_of(word))
        try:
            pipe.load_textual_inversion(str(path), **options)
        except Exception:
            continue
        name = options.get("token", word.token)
        loaded = pipe.rows(name)
        whole = [loaded.equal(expected) for expected in word.vectors.values()]
        assert len(word.vectors) > 1 or not any(whole), (path, sentence)


def test_the_advice_for_diffusers_is_true_for_every_file(files: list[Path], tokenizer: Any) -> None:
    beginnings = set()
    for path in files:
        content = formats.read_file(path)
        for word, sentence in sentences_of(content, "diffusers"):
            check_diffusers(path, word, sentence, tokenizer)
            beginnings.add(sentence[:22])
    assert len(beginnings) > 7


@pytest.mark.parametrize("token", ["<cat>", "<My-Toy>", "*"])
@pytest.mark.parametrize("word", [SD, SDXL, T5, FLUX, CHROMA, SANA, SD3, *LAYERS])
def test_the_model_card_s_code_loads_the_word(
    word: Concept, token: str, tokenizer: Any, tmp_path: Path
) -> None:
    word = formats.with_token(word, token)
    for name, data in repository_files(tmp_path, word, "me/toy").items():
        (tmp_path / name).write_bytes(data)
    code = re.search(r"```python\n(.*?)\n```", (tmp_path / "README.md").read_text(), re.S)
    if word.family in {"sana", "sd3"}:
        assert code is None
        return
    assert code
    pipe = Pipe(tokenizer, *encoders_of(for_other_tools(word)))
    exec(code[1].replace("me/toy", str(tmp_path)), {"pipeline": pipe})
    other = re.search("then write (.*)", code[1])
    suffixes = keys.diffusers_suffixes(for_other_tools(word).vectors, word.family)
    for encoder, suffix in (suffixes or {}).items():
        assert pipe.rows(other[1] if other else token, suffix).equal(word.vectors[encoder])


NAMES = (
    *(
        "<cat>",
        "<My-Toy>",
        "MyToy",
        "mytoy",
        "my toy",
        "cat",
        "*",
        "Cat",
        "a",
        "<Ü>",
        "<ü>",
        "Ü",
        "7",
    ),
    *("<e\u0301>", "<İ>", "cat2", "zq", "猫", "😀", "it's", "<|endoftext|>", "!", "</s>", "<pad>"),
    *("cat</w>", "'s", "CAT", "a  b", "<ﬁ>", "ΑΣ", "<unk>", "x.y", "<a b>", "42"),
)


@pytest.mark.parametrize("vectors", [1, 3, 12])
def test_the_name_for_diffusers_lets_every_row_reach_the_prompt(
    vectors: int, tokenizer: Any, tmp_path: Path
) -> None:
    for token in NAMES:
        word = Concept(token, {"clip_l": rows(vectors, 768)}, "sd")
        write_word(word, tmp_path / "toy.safetensors")
        content, loaded, sentences = advice(tmp_path / "toy.safetensors")
        check_diffusers(content.path, loaded, sentences["diffusers"], tokenizer)
        plain = Pipe(tokenizer, "clip_l")
        if "only the first" in sentences["diffusers"]:
            with contextlib.suppress(ValueError):  # it may be in the vocabulary as well
                plain.load_textual_inversion(str(content.path))
            assert len(plain.rows(loaded.token)) < vectors
        elif "refused" in sentences["diffusers"]:
            plain.components["tokenizer"].add_tokens(token)
            with pytest.raises(ValueError, match="already in tokenizer vocabulary"):
                plain.load_textual_inversion(str(content.path))
        else:
            assert f"then write {loaded.token}" in sentences["diffusers"]
            assert token not in tokenizer.get_vocab()


def test_every_entry_of_a_vocabulary_is_recognised_as_one(tokenizer: Any) -> None:
    assert all(names.may_be_in_vocabulary(entry) for entry in tokenizer.get_vocab())


def test_the_vocabulary_of_the_base_is_used(base: Path, tmp_path: Path) -> None:
    write_word(Concept("x1", {"clip_l": rows(1, 32)}, "sd"), tmp_path / "x.safetensors")
    content, word, sentences = advice(tmp_path / "x.safetensors")
    assert sentences["diffusers"] == "load_textual_inversion(file), then write x1"
    assert "<x1>" in advise(content, word, {"x1"})["diffusers"]
    write_word(Concept("*", {"clip_l": rows(1, 32)}, "sd"), tmp_path / "y.safetensors")
    seen = api.inspect(tmp_path / "y.safetensors", base=str(base))
    assert "Under * it is refused: the model's vocabulary has" in seen.tools["diffusers"]


PIPELINES = {
    **{name: load_class(name).pipelines[0] for name in FAMILIES},
    "hidream": "HiDreamImagePipeline",
    "hunyuan-video": "HunyuanVideoPipeline",
    "ideogram4": "Ideogram4Pipeline",
    "qwen-image-2.1": "QwenImage21Pipeline",
    "omnigen2": "",
    "wan": "WanPipeline",
    "wuerstchen": "StableCascadePriorPipeline",
}
"""Model family -> a pipeline of diffusers, if it has one."""


@pytest.mark.parametrize("family", keys.MODEL_FAMILIES)
def test_diffusers_has_a_loader_for_exactly_the_families_that_we_list(family: str) -> None:
    known, pipeline = keys.MODEL_FAMILIES[family], getattr(diffusers, PIPELINES[family], object)
    assert known.loads_words == issubclass(pipeline, TextualInversionLoaderMixin)
    for encoders in known.encoders:
        suffixes = keys.diffusers_suffixes(encoders, family)
        assert known.loads_words == (suffixes is not None)
        for suffix in (suffixes or {}).values():
            assert f"text_encoder{suffix}" in signature(pipeline).parameters


def test_a_word_of_unknown_family_is_that_of_the_likeliest() -> None:
    assert keys.diffusers_suffixes({"t5xxl"}) == {"t5xxl": "_2"}
    assert keys.diffusers_suffixes({"t5xxl"}, "chroma") == {"t5xxl": ""}
    assert keys.diffusers_suffixes({"clip_g"}, "sdxl") == {"clip_g": "_2"}
    assert keys.diffusers_suffixes({"clip_l", "clip_g"}) == {"clip_l": "", "clip_g": "_2"}
    assert keys.diffusers_suffixes({"gemma2_2b"}) is None


def a1111_reads(path: Path) -> tuple[str, Any, int]:
    """The restated loader; pictures are read by our reader, which was held against it elsewhere."""
    in_picture = None
    if path.suffix in (".png", ".webp"):
        raw = embedding_file.parse(path.read_bytes(), str(path))
        in_picture = {**raw.items, "string_to_param": dict(raw.items["string_to_param"])}
    return other_tools.a1111_loads(path, in_picture)


def check_a1111(
    path: Path, content: EmbeddingFile, word: Concept, sentence: str, tokenizer: Any
) -> None:
    kinds = {"SD 1": 768, "SD 2": 1024, "SDXL": 2048}
    if sentence.startswith("copy the LoRA"):
        loaded = other_tools.a1111_in_lora(path, word.token)
        assert all(
            v.equal(loaded[k] if isinstance(loaded, dict) else loaded)
            for k, v in word.vectors.items()
        )
        return
    match = re.fullmatch(
        r"(SD 1|SD 2|SDXL): copy into embeddings/, then write (.*); skipped on .*", sentence
    )
    if match:
        name, loaded, width = a1111_reads(path)
        assert width == kinds[match[1]], sentence
        assert other_tools.a1111_finds(tokenizer, name, f"a photo of {match[2]} here"), sentence
        for encoder, expected in word.vectors.items():
            assert expected.equal(loaded[encoder] if isinstance(loaded, dict) else loaded), sentence
    elif sentence.startswith("takes it for an SDXL word"):
        _, loaded, width = a1111_reads(path)
        assert width == kinds["SDXL"]
        assert all(word.vectors[key].equal(loaded[key]) for key in ("clip_l", "clip_g"))
    elif sentence.startswith("goes by the file's ending"):
        with pytest.raises(Exception):  # noqa: B017, PT011 - any failure of a foreign loader will do
            a1111_reads(path)
        renamed = path.with_suffix(re.search(r"to (\.\w+)", sentence)[1])  # type: ignore[index]
        shutil.copy(path, renamed)
        sentence = advice(renamed)[2]["AUTOMATIC1111"]
        assert "ending" not in sentence
    elif sentence.startswith("mistakes it for an SDXL word"):
        _, loaded, width = a1111_reads(path)
        assert width == kinds["SDXL"]
        assert not isinstance(loaded, dict)
    elif sentence.startswith("cannot have such a name"):
        assert not other_tools.a1111_finds(tokenizer, path.stem, f"a photo of {path.stem} here")
    elif path.suffix in (".png", ".webp", ".pt", ".bin", ".safetensors"):
        try:
            _, loaded, width = a1111_reads(path)
        except Exception:
            return
        if width in kinds.values() and not sentence.startswith("cannot use"):
            parts = loaded if isinstance(loaded, dict) else dict.fromkeys(word.vectors, loaded)
            whole = [key in parts and v.equal(parts[key]) for key, v in word.vectors.items()]
            assert not all(whole), (path, sentence)


def test_the_advice_for_automatic1111_is_true_for_every_file(
    files: list[Path], tokenizer: Any
) -> None:
    beginnings = set()
    for path in files:
        content = formats.read_file(path)
        for word, sentence in sentences_of(content, "AUTOMATIC1111"):
            check_a1111(path, content, word, sentence, tokenizer)
            beginnings.add(sentence[:18])
    assert len(beginnings) > 8


def test_automatic1111_opens_every_torch_file_that_we_write(tmp_path: Path) -> None:
    for writer in ("a1111", "diffusers-bin"):
        for word in (SD, SD2, SDXL):
            path = tmp_path / f"toy{ENDINGS[writer]}"
            first = write_as(word, path, writer)[0]
            other_tools.a1111_opens(first)
    torch.save({"<cat>": L}, tmp_path / "theirs.pt")
    with pytest.raises(ValueError, match="bad file"):
        other_tools.a1111_opens(tmp_path / "theirs.pt")
    assert "malicious" in advice(tmp_path / "theirs.pt")[2]["AUTOMATIC1111"]


STEMS = (
    *("my-cat", "My Cat", "cat (old)", "[x]", "a,b", ",x", "tom AND jerry", "BREAK", "猫", "a.b"),
    *("<cat>", "<lora:x>", "x:y", "a|b", "c'd", "a\\b", "((", "CAT_2"),
)


@pytest.mark.parametrize("stem", STEMS)
def test_the_names_for_each_tool_find_the_word(stem: str, tmp_path: Path, tokenizer: Any) -> None:
    path = tmp_path / f"{stem}.safetensors"
    save_file({"emb_params": L}, path)
    content, word, sentences = advice(path)
    check_a1111(path, content, word, sentences["AUTOMATIC1111"], tokenizer)
    check_comfyui(path, word, sentences["ComfyUI"])
    check_invokeai(path, word, sentences["InvokeAI"])


def test_comfyui_looks_for_words_of_each_encoder_as_we_say() -> None:
    ours = {key: known.comfyui for key, known in keys.KNOWN.items()}
    assert ours == other_tools.COMFYUI_LOOKS


def check_comfyui(path: Path, word: Concept, sentence: str) -> None:
    def read(prompt: str, encoder: str) -> Tensor:
        try:
            loaded = other_tools.comfyui_reads(path.parent, prompt, word.widths[encoder], encoder)
        except (RuntimeError, AttributeError):
            loaded = []
        return torch.stack(loaded) if loaded else torch.zeros(0)

    match = re.fullmatch(
        r"copy into models/embeddings/, then write (embedding:.*) and a space or .*", sentence
    )
    if sentence.startswith("does not look for words"):
        assert not all(other_tools.COMFYUI_LOOKS[encoder] for encoder in word.vectors), sentence
    elif match:
        for encoder, expected in word.vectors.items():
            for prompt in (f"{match[1]} on grass", f"a photo of {match[1]}, red"):
                assert read(prompt, encoder).equal(expected), (path, sentence)
    elif sentence.startswith("may not find"):
        assert not all(
            read(f"a embedding:{path.stem}, b", e).equal(v) for e, v in word.vectors.items()
        )
    elif not sentence.startswith("cannot use"):
        for prompt in (f"a embedding:{path.name} b", f"embedding:{path.stem}"):
            loaded = [read(prompt, e).equal(v) for e, v in word.vectors.items()]
            assert not all(loaded), (path, sentence)


def test_the_advice_for_comfyui_is_true_for_every_file(files: list[Path]) -> None:
    beginnings = set()
    for path in files:
        content = formats.read_file(path)
        for word, sentence in sentences_of(content, "ComfyUI"):
            check_comfyui(path, word, sentence)
            beginnings.add(sentence[:18])
    assert len(beginnings) > 5


@pytest.mark.parametrize("layered", LAYERS)
def test_the_advice_is_true_for_a_word_of_too_many_layers_for_the_metadata(
    layered: Concept, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "LONGEST_LAYERS", 100)
    path = tmp_path / "my-cat.safetensors"
    write_word(layered, path)
    content, word, sentences = advice(path)
    assert {key: rows.tolist() for key, rows in word.vectors.items()} == {
        key: rows.tolist() for key, rows in layered.vectors.items()
    }
    plain = for_other_tools(word)
    assert sentences["diffusers"].startswith("load_textual_inversion")
    check_diffusers(path, plain, sentences["diffusers"], tokenizer)
    check_comfyui(path, plain, sentences["ComfyUI"])
    check_invokeai(path, plain, sentences["InvokeAI"])
    check_a1111(path, content, plain, sentences["AUTOMATIC1111"], tokenizer)


def check_invokeai(path: Path, word: Concept, sentence: str) -> None:
    expected = {"clip_l": 768, "clip_h": 1024}
    if sentence.startswith("add it to the models"):
        width, name = other_tools.invokeai_adds(path)
        assert width == (expected[next(iter(word.vectors))] if len(word.vectors) == 1 else 1280)
        loaded = other_tools.invokeai_loads(path)
        assert len(loaded) == len(word.vectors)
        assert all(any(v.equal(f.float()) for f in loaded) for v in word.vectors.values()), sentence
        match = re.search(r"then write (<.*>)$", sentence)
        assert match
        triggers = other_tools.invokeai_finds(f"a {match[1]}, red")
        assert triggers == ([name] if "the name" not in match[1] else ["the name"])
        if "the name" in match[1]:
            assert other_tools.invokeai_finds(f"a <{name}> red") != [name]
        return
    try:
        width, _ = other_tools.invokeai_adds(path)
        loaded = other_tools.invokeai_loads(path)
    except Exception:
        return
    whole = [any(v.equal(f.float()) for f in loaded) for v in word.vectors.values()]
    right = width == (expected.get(next(iter(word.vectors)), 0) if len(word.vectors) == 1 else 1280)
    assert not all(whole) or not right or len(loaded) != len(word.vectors), (path, sentence)


def test_the_advice_for_invokeai_is_true_for_every_file(files: list[Path]) -> None:
    beginnings = set()
    for path in files:
        content = formats.read_file(path)
        for word, sentence in sentences_of(content, "InvokeAI"):
            check_invokeai(path, word, sentence)
            beginnings.add(sentence[:18])
    assert len(beginnings) > 5


def test_onetrainer_trains_sana_s_words_but_not_lumina_s(tmp_path: Path) -> None:
    for family, trains in (("sana", True), ("lumina2", False), (None, True)):
        word = Concept("<cat>", SANA.vectors, family)
        write_as(word, tmp_path / "cat.safetensors", "onetrainer")
        sentence = advice(tmp_path / "cat.safetensors")[2]["OneTrainer"]
        assert sentence.startswith("choose it" if trains else "trains no embeddings"), family


def test_the_advice_for_onetrainer_is_true_for_every_file(files: list[Path]) -> None:
    beginnings = set()
    for path in files:
        content = formats.read_file(path)
        for word, sentence in sentences_of(content, "OneTrainer"):
            beginnings.add(sentence[:18])
            encoders = frozenset(map(base_encoder, word.vectors))
            if encoders not in onetrainer.TRAINED:
                assert sentence == "trains no embeddings for these models"
                continue
            theirs = keys.onetrainer_keys(encoders)
            try:
                loaded = dict(
                    zip(
                        theirs,
                        other_tools.onetrainer_loads(path, tuple(theirs.values())),
                        strict=True,
                    )
                )
                whole = [v.equal(loaded[base_encoder(k)].float()) for k, v in word.vectors.items()]
            except Exception:
                whole = [False]
            assert all(whole) == sentence.startswith("choose it as the base embedding"), (
                path,
                sentence,
            )
    assert len(beginnings) > 3


def test_a_file_works_after_the_conversion_that_is_advised(
    files: list[Path], tmp_path: Path
) -> None:
    done = 0
    for path in files:
        _, word, sentences = advice(path)
        for tool, text in sentences.items():
            match = re.search(r"convert with --format ([\w-]+)$", text)
            if not match:
                continue
            out = tmp_path / str(done) / f"toy{ENDINGS[match[1]]}"
            write_as(adapted(word, match[1])[0], out, match[1])
            again = advice(out)[2][tool]
            assert "convert" not in again.removesuffix(
                "; or convert with --format diffusers, and load a file each"
            ), (tool, text, again)
            done += 1
    assert done > 100


def test_training_warns_of_a_token_that_diffusers_does_not_accept(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    quick = ("--steps", 1, "--evaluate-every", 0, "--timestep-sampling", "uniform")
    word = ("--token", "<My-Toy>", "--vectors", 2, "--init", "cat")
    code, _, noted = run(
        "train", pictures, "--base", base, *quick, *word, "--out", tmp_path / "run"
    )
    assert code == 0
    assert noted.count("token='<my-toy>'") == 1
    assert names.diffusers_warning("<toy>", 2, {"toy"}) is None
    assert "vocabulary has that token" in (names.diffusers_warning("toy", 1, {"toy"}) or "")
