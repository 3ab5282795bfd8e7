import json
from pathlib import Path

import pytest

from pseudoword.config import TrainConfig
from pseudoword.config.prompt_lines import PromptLine, lines_of, parse
from pseudoword.config.train import read_toml
from pseudoword.errors import SettingsError


def test_a_line_says_what_to_draw_and_how() -> None:
    assert parse("a [name]") == PromptLine("a [name]")
    line = "a [name], 10--20 cm --n blurry, dark --d 7 --w 512 --h 768 --s 9 --l 3.5 --ss DDIM"
    asked = PromptLine("a [name], 10--20 cm", "blurry, dark", 7, 512, 768, 9, 3.5, "DDIM")
    assert parse(line) == asked
    assert parse("--n only") == PromptLine("", "only")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a --x 3", "no --x; there are --n negative"),
        ("a --rcfg 1", "no --rcfg; there are --n negative"),
        ("a --s 3 --s 4", "--s is given twice"),
        ("a --s many", "should be a valid integer"),
        ("a --w 0", "greater than or equal to 8"),
        ("a --w 99999", "less than or equal to 8192"),
        ("a --l nan", "finite number"),
        ("a --d 9223372036854775808", "less than"),
        ("a --l -1", "greater than or equal to 0"),
        ("a --d", "should be a valid integer"),
    ],
)
def test_mistakes_are_named(line: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        parse(line)


def test_a_file_stands_for_the_prompts_on_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "my prompts.TXT"
    file.write_text("# theirs\n\na [name] --d 3\n  [name] in snow\n", encoding="utf-8-sig")

    def read(*previews: str) -> TrainConfig:
        return TrainConfig.check(pictures=["p"], token="<x>", sample_prompts=list(previews))

    config = read("a [name] at sea", str(file))
    assert [line.text for line in config.preview] == [
        "a [name] at sea", "a [name] --d 3", "[name] in snow",
    ]  # fmt: skip
    file.unlink()
    again = TrainConfig.from_toml(config.to_toml(), tmp_path / "config.toml")
    assert again.preview == config.preview
    with pytest.raises(SettingsError, match=r"my prompts\.TXT does not exist"):
        read(str(file))
    file.write_text("# nothing\n")
    with pytest.raises(SettingsError, match="the file has no prompt"):
        read(str(file))
    file.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not text in UTF-8"):
        read(str(file))


SHARED = """
[prompt]
width = 64
negative_prompt = "bad"
[[prompt.subset]]
prompt = "a [name]\\n at sea"
seed = 3
sample_steps = 9
scale = 4.5
sample_sampler = "ddim"
[[prompt.subset]]
prompt = "a [name] --n blurry"
"""


def test_samples_of_other_trainers_are_read(tmp_path: Path) -> None:
    toml = tmp_path / "kohya.toml"
    toml.write_text(SHARED)
    first = PromptLine("a [name] at sea", "bad", 3, 64, 64, 9, 4.5, "ddim")
    assert [parse(line) for line in lines_of(str(toml))] == [
        first, PromptLine("a [name]", "blurry", width=64, height=64),
    ]  # fmt: skip
    file = tmp_path / "samples.json"
    off = {"enabled": False, "prompt": "none"}
    theirs = {"enabled": True, "prompt": "a", "negative_prompt": "", "cfg_scale": 7.0, "frames": 1}
    file.write_text(json.dumps([theirs, off, "[trigger] --d 3"]))
    assert lines_of(str(file)) == ["a --l 7.0", "[name] --d 3"]
    theirs = {"prompt": "a", "seed": 4, "noise_scheduler": "DPMPP_KARRAS"}
    flux = {"prompt": "b", "scale": 1.0, "guidance_scale": 3.5}
    file.write_text(json.dumps([theirs, theirs | {"random_seed": True}, flux]))
    assert lines_of(str(file)) == [
        "a --d 4 --ss DPMPP_KARRAS", "a --ss DPMPP_KARRAS", "b --l 3.5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", "{", "is damaged"),
        ("a.json", "[" * 100_000, "is damaged"),
        ("a.toml", "= 3", "is damaged"),
        ("a.json", '{"prompt": "a"}', r"no prompt\. Write them into a \.txt file"),
        ("a.json", '[{"prompt": 3}, 4, null]', "no prompt"),
        ("a.toml", "prompt = 3", "no prompt"),
        ("a.toml", "[prompt]\nsubset = 3", "no prompt"),
    ],
)
def test_a_file_without_samples_is_told(name: str, text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=says):
        lines_of(str(tmp_path / name))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_come_from_any_editor(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a [name] in a café\r\n", encoding=encoding, newline="")
    (line,) = lines_of(str(file))
    assert line == "a [name] in a café"
    settings = tmp_path / "settings.toml"
    settings.write_text('token = "<café>"\r\n', encoding=encoding, newline="")
    assert read_toml(settings) == {"token": "<café>"}
