from pathlib import Path
from typing import Any

import embedding_files
import pytest
from embedding_files import G, L, rows
from PIL import Image
from safetensors.torch import load_file, save_file
from support import SHARED, run
from word_files import write_as, write_word

from pseudoword import api, formats
from pseudoword.concept import Concept
from pseudoword.config.written_files import FORMAT_OF_ENDING
from pseudoword.errors import PseudowordError
from pseudoword.files import file_stem
from pseudoword.formats import sources


@pytest.mark.parametrize("ending", FORMAT_OF_ENDING)
def test_the_suffix_decides_the_format(ending: str, tmp_path: Path) -> None:
    source = embedding_files.write("a1111", tmp_path)
    code, output, _ = run("convert", source, tmp_path / f"out{ending}", "--token", "<dog>")
    assert (code, output.split()) == (0, [str(tmp_path / f"out{ending}")])
    back = formats.read(tmp_path / f"out{ending}")
    assert back.token == "<dog>"
    assert back.vectors["clip_l"].equal(L)


def test_the_word_is_renamed_as_generate_renames_it(tmp_path: Path) -> None:
    source = embedding_files.write("a1111", tmp_path)
    code, _, errors = run("convert", f"{source}=<dog>", tmp_path / "out.pt")
    assert code == 0, errors
    assert formats.read(tmp_path / "out.pt").token == "<dog>"
    code, _, errors = run("convert", f"{source}=", tmp_path / "other.pt")
    assert (code, "there is no token after the =" in errors) == (2, True)


def test_a_slash_at_the_end_says_that_it_is_a_folder(tmp_path: Path) -> None:
    source = embedding_files.write("a1111", tmp_path)
    options = ("--token", "<dog>", "--format", "kohya")
    assert run("convert", source, f"{tmp_path}/v1.5", *options)[0] == 2
    code, output, _ = run("convert", source, f"{tmp_path}/v1.5/", *options)
    assert (code, output.split()) == (0, [str(tmp_path / "v1.5" / "dog.safetensors")])


def test_two_files_for_sdxl_and_back_to_one(tmp_path: Path) -> None:
    source = embedding_files.write("SDXL", tmp_path)
    written = api.convert(
        source, tmp_path / "new" / "learned_embeds.safetensors", format="diffusers", token="<cat>"
    )
    assert [p.name for p in written] == [
        "learned_embeds.safetensors",
        "learned_embeds_2.safetensors",
    ]
    (one,) = api.convert(tmp_path / "new", tmp_path / "one.safetensors", format="onetrainer")
    assert load_file(one)["clip_l"].equal(L)
    assert load_file(one)["clip_g"].equal(G)


def test_words_of_which_one_does_not_fit_the_format_are_not_written_in_part(tmp_path: Path) -> None:
    words = {"bundle_emb.a.emp_params": L, "bundle_emb.b.clip_l": L + 1, "bundle_emb.b.clip_g": G}
    save_file({"lora_unet_a.lora_down.weight": rows(4, 8), **words}, tmp_path / "x.safetensors")
    with pytest.raises(PseudowordError, match=r"^b: a1111-png holds Stable Diffusion 1 and 2"):
        api.convert(tmp_path / "x.safetensors", tmp_path / "out", format="a1111-png")
    assert not (tmp_path / "out").exists()


def test_an_empty_name_is_no_name(tmp_path: Path) -> None:
    source = embedding_files.write("a1111", tmp_path)
    for command in (("convert", source, tmp_path / "b.pt"), ("inspect", source)):
        code, _, complained = run(*command, "--token", "")
        assert (code, "--token is empty" in complained) == (2, True)
    for one in (source, formats.read(source)):
        with pytest.raises(PseudowordError, match="--token is empty"):
            sources.read_named(one, "")
    assert not (tmp_path / "b.pt").exists()


def test_several_words_go_into_a_folder_or_one_by_one(tmp_path: Path) -> None:
    source = embedding_files.write("LoRA with OneTrainer's words", tmp_path)
    code, output, _ = run("convert", source, tmp_path / "words")
    assert code == 0
    assert {Path(line).name for line in output.splitlines()} == {
        "cat.safetensors",
        "v1.5-dog.safetensors",
    }
    assert formats.read(tmp_path / "words" / "v1.5-dog.safetensors").token == "v1.5 dog"
    code, _, complained = run("convert", source, tmp_path / "a.pt")
    assert code == 2
    assert "<cat>, v1.5 dog" in complained.replace("v1.5 dog, <cat>", "<cat>, v1.5 dog")
    assert run("convert", source, tmp_path / "a.pt", "--token", "v1.5 dog")[0] == 0
    assert len(formats.read(tmp_path / "a.pt").vectors["clip_l"]) == 1


def test_the_picture_that_holds_a_word_is_kept(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "teal.png")
    source = embedding_files.write("a1111", tmp_path)
    options = ("--picture", tmp_path / "teal.png")
    assert run("convert", source, tmp_path / "a.png", *options)[0] == 0
    assert run("convert", tmp_path / "a.png", tmp_path / "b.png", "--token", "dog")[0] == 0
    picture = Image.open(tmp_path / "b.png")
    assert (picture.size, picture.getpixel((3, 3))) == ((40, 30), (0, 128, 128))
    assert formats.read(tmp_path / "b.png").token == "dog"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["out.xyz"], ".safetensors, .pt"),
        (["out.pt", "--format", "zip"], "choose one of native"),
        (["out.safetensors", "--format", "a1111"], "end in .pt"),
        (["out.safetensors", "--format", "sdxl"], "holds clip_l and clip_g"),
        (["out.pt", "--token", " x"], "white space"),
    ],
)
def test_what_cannot_be_converted_is_explained(
    arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = embedding_files.write("a1111", tmp_path)
    monkeypatch.chdir(tmp_path)
    code, output, complained = run("convert", source, *arguments)
    assert (code, output) == (2, "")
    assert named in complained
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.bin"]


@pytest.mark.parametrize("token", ["../../x", "<a/b>", "...", "a" * 500, "猫", "-"])
def test_a_token_as_a_file_name_stays_in_its_folder(token: str, tmp_path: Path) -> None:
    write_word(Concept(token, {"clip_l": rows(1, 8)}), tmp_path / "in.safetensors")
    (path,) = api.convert(tmp_path / "in.safetensors", tmp_path / "out")
    assert path.parent == tmp_path / "out"
    assert path.name == f"{file_stem(token)}.safetensors"
    assert formats.read(path).token == token


def test_inspect_describes_a_file_and_what_tools_do_with_it(tmp_path: Path) -> None:
    def tools(name: str) -> dict[str, str]:
        return api.inspect(embedding_files.write(name, tmp_path)).tools

    inspection = api.inspect(embedding_files.write("a1111", tmp_path))
    assert (inspection.layout, inspection.container, inspection.fits) == ("a1111", "torch", ["sd"])
    assert "then write <cat>" in inspection.tools["diffusers"]
    assert list(inspection.tools)[3:] == ["InvokeAI", "OneTrainer"]
    assert "embedding:file" in inspection.tools["ComfyUI"]
    assert "token='<file>'" in tools("kohya")["diffusers"]
    assert "--format diffusers" in tools("SDXL")["diffusers"]
    assert "only words for SD 1" in tools("ComfyUI")["AUTOMATIC1111"]
    assert "ending" in tools("OneTrainer SD3")["ComfyUI"]  # it is called .bin here
    assert "cannot read" in tools("diffusers several")["diffusers"]
    assert "per layer" in tools("kohya XTI")["AUTOMATIC1111"]
    assert "models/Lora" in tools("LoRA with OneTrainer's words")["AUTOMATIC1111"]
    api.convert(embedding_files.write("a1111", tmp_path), tmp_path / "a.png")
    assert "no pictures" in api.inspect(tmp_path / "a.png").tools["ComfyUI"]
    several = api.inspect(embedding_files.write("paper, several", tmp_path), token="<dog>")
    assert (several.token, several.others) == ("<dog>", ["<cat>"])
    text = run("inspect", embedding_files.write("OneTrainer SD3", tmp_path))[1]
    assert "sd3" in text
    assert "AUTOMATIC1111" in text


@pytest.mark.skipif(not SHARED.exists(), reason="no sample files here")
def test_every_real_file_can_be_inspected_on_the_command_line() -> None:
    for path in (SHARED / "embeddings").iterdir():
        code, output, _ = run("inspect", path)
        assert code == 0
        assert "in ComfyUI" in output


def test_generate_takes_any_file_and_renames(base: Path, tmp_path: Path) -> None:
    word = Concept("<cat>", {"clip_l": rows(2, 32)}, "sd")
    other = Concept("<dog>", {"clip_l": rows(1, 32, 5)}, "sd")
    for ending, name in ((".pt", "a1111"), (".png", "a1111-pixels"), (".bin", "diffusers-bin")):
        write_as(word, tmp_path / f"cat{ending}", name, Image.new("RGB", (64, 64)))
    settings: dict[str, Any] = {"base": str(base), "sampler_steps": 2}

    def draw(prompt: str, **more: Any) -> bytes:
        return api.generate(prompt, **more, **settings)[0].tobytes()

    first = draw("a <cat>", concept=tmp_path / "cat.pt")
    assert first != draw("a photo")
    assert first == draw("a <cat>", concept=str(tmp_path / "cat.png"))
    assert first == draw("a kitten!", concept=f"{tmp_path}/cat.bin=kitten!")
    assert first == draw("a <x>", concept=tmp_path / "cat.bin", token="<x>")
    write_word(other, tmp_path / "dog=1.safetensors")
    several = [tmp_path / "cat.pt", f"{tmp_path}/dog=1.safetensors=<y=z>"]
    both = draw("a <cat> and <y=z>", concept=several)
    assert both == draw("a <a> and <b>", concept=[*several[:1], other], token=["<a>", "<b>"])
    with pytest.raises(PseudowordError, match="1 tokens for 2"):
        draw("a <cat>", concept=several, token="<x>")
    with pytest.raises(PseudowordError, match="no token after"):
        draw("a <cat>", concept=f"{tmp_path}/cat.bin= ")


def test_generate_takes_every_word_of_a_file(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "both.safetensors"
    save_file({"<a>": rows(1, 32, 1), "<b>": rows(1, 32, 2)}, path)
    settings: dict[str, Any] = {"base": str(base), "sampler_steps": 2}
    word = Concept("<a>", {"clip_l": rows(1, 32, 1)})
    other = Concept("<b>", {"clip_l": rows(1, 32, 2)})
    (one,) = api.generate("<a> with <b>", concept=path, **settings)
    (same,) = api.generate("<a> with <b>", concept=[word, other], **settings)
    assert one.tobytes() == same.tobytes()
    (alone,) = api.generate("a <b>", concept=f"{path}=<b>", **settings)
    (same,) = api.generate("a <b>", concept=other, **settings)
    assert alone.tobytes() == same.tobytes()


def test_generate_refuses_a_width_that_does_not_fit_and_names_both(
    base: Path, tmp_path: Path
) -> None:
    source = embedding_files.write("a1111", tmp_path)
    with pytest.raises(PseudowordError, match=r"clip_l of width 768.*clip_l of width 32"):
        api.generate("a cat", concept=source, base=str(base))


def test_previews_carry_the_word(base: Path, pictures: Path, tmp_path: Path) -> None:
    done = api.train(pictures, "<cat>", base=str(base), steps=1, init="cat", out=tmp_path / "run")
    (preview,) = (tmp_path / "run" / "previews").glob("step-*.png")
    back = formats.read(preview)
    assert back.token == "<cat>"
    assert back.vectors["clip_l"].equal(done.concept.vectors["clip_l"])
    assert back.provenance == done.concept.provenance
    assert Image.open(preview).size == (32, 32)
    options = ("--base", base, "--steps", 1, "--init", "cat", "--no-embedding-in-preview")
    out = ("--token", "<dog>", "--out", tmp_path / "plain")
    assert run("train", pictures, *options, *out)[0] == 0
    (preview,) = (tmp_path / "plain" / "previews").glob("step-*.png")
    with pytest.raises(PseudowordError, match="without an embedding"):
        formats.read(preview)
