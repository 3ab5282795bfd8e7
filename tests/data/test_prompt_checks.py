"""Text that is not read is reported: a prompt's end, and weights."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from support import Notes
from word_files import write_word

from pseudoword import api
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice, Emphasis, TrainConfig
from pseudoword.data import prompt_checks
from pseudoword.errors import ConceptError, PromptError
from pseudoword.models import base_model
from pseudoword.models.compatibility import check_compatible
from pseudoword.models.family import Family
from pseudoword.models.reading.clip_reader import ClipReader
from pseudoword.models.reading.prompt_reader import PromptReader
from pseudoword.placeholders import delimited
from pseudoword.runs import checks


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PromptReader:
    return ClipReader(tiny.tokenizer(tmp_path_factory.mktemp("tokenizer")), 12)


def test_each_row_of_the_word_counts_as_a_token(reader: PromptReader) -> None:
    assert reader.reading("a <x> cat", {"<x>": 8}).tokens == 10
    assert reader.reading("a <x> cat", {"<x>": 8}).cut_off == ""
    cut = reader.reading("a <x> red cat, on  a blue dog", {"<x>": 7})
    assert (cut.tokens, cut.max_tokens, cut.cut_off) == (15, 10, ", on  a blue dog")


@pytest.mark.parametrize(
    "text",
    [
        *("a (red:1.2) cat", "(a red cat: .5)", "((red)) cat", "[red] cat", "[red:blue:0.5]"),
        *("(red)++ cat", "(red cat)1.3", "red++ cat", "cat--, dog", "a cat <lora:toy:0.8>"),
    ],
)
def test_weights_are_reported_as_plain_text(text: str) -> None:
    reported: list[str] = []
    prompt_checks.note_weights(["a cat", text, text], reported.append)
    (line,) = reported
    assert line.endswith("is plain text here: only prompts to draw have weights")


@pytest.mark.parametrize("mark", ["{red|blue}", "{2$$red|blue|}", "|||", ";;;"])
def test_choices_of_kohyas_scripts_are_reported_as_plain_text(mark: str) -> None:
    reported: list[str] = []
    prompt_checks.note_weights([f"a {mark} cat", f"{mark}"], reported.append)
    (line,) = reported
    assert line.startswith(f"{mark} is plain text here: tags are parted by commas, and")


def test_a_weight_on_the_word_itself_is_shown_as_it_was_written() -> None:
    for text in ("a cat, ([name]:1.4)", "<x>, ((<x>))", f"[{delimited('<x>')}]"):
        reported: list[str] = []
        prompt_checks.note_weights([text], reported.append, ["<x>"])
        assert reported[0].split(" is ")[0] in ("([name]:1.4)", "((<x>))", "[<x>]")


def test_other_text_is_not_reported_as_a_weight() -> None:
    reported: list[str] = []
    texts = [
        "a [name], [filewords]",
        "a cat (asleep), 1:2",
        "well-known -- a cat AND A DOG",
        "<my:cat>",
        "c+",
        "{a cat}, a|b || c;; :|",
    ]
    texts += ["my (cat:2)", f"a {delimited('[cat]')}", "a (((", "(" * 5000, "[" * 5000, "a:b) c]"]
    prompt_checks.note_weights(texts, reported.append, ["(cat:2)", "[cat]"])
    assert not reported


def test_tokenizers_load_without_the_weights(any_base: Path) -> None:
    encoders = base_model.load_named(str(any_base), "cpu").encoders.values()
    whole = [encoder.reader for encoder in encoders]
    known = base_model.Unloaded(BaseChoice(base=str(any_base))).readers
    assert [reader.max_tokens for reader in known] == [reader.max_tokens for reader in whole]
    counts = {"<x>": 3}
    for one, other in zip(known, whole, strict=True):
        assert one.reading("a <x> cat", counts) == other.reading("a <x> cat", counts)


def test_parts_of_a_prompt_that_are_not_supported_are_reported(family: Family) -> None:
    def notes(text: str, emphasis: Emphasis | None = None) -> list[str]:
        lines: list[str] = []
        counts = {"(c++)": 2, "[a|b]": 1}
        check = prompt_checks.check_prompts
        check(family, {"the prompt": text}, counts, lines.append, emphasis=emphasis)
        return lines

    for text in ("(red:1.2) BREAK [dog] ((toy))", "red " * 200, r"\[a|b\] \(x", "(c++) [a|b] :)"):
        assert notes(text) == []
    changing = ("[red:blue:0.5]", "[red:5]", "[red|blue]")
    odd = ("(red)++", "(red cat)1.3", "d++", "<lora:toy:1>", "AND", "(c++)++", "(c++)--")
    for text in (*changing, *odd):
        assert notes(f"a {text}, cat") == [f"{text} is plain text here: this is not supported"]
        assert notes(f"a {text}, cat", "none") == []
    for text in ("embedding:toy", "embedding:(c++)", "embedding:toys/toy.pt"):
        expected = f"{text} is plain text here: a word is written by its name alone"
        assert notes(f"a ({text}:1.2), cat") == [expected]
    (line,) = notes("a cat, (red (c++) dog :(")
    assert line.startswith("the prompt has a bracket that is not closed, so its weight lasts to")
    assert "'(red (c++) dog :('. For a bracket that is text, write \\( or \\[" in line


def test_a_name_that_no_given_word_has_is_reported(family: Family) -> None:
    def notes(text: str) -> list[str]:
        lines: list[str] = []
        prompt_checks.check_prompts(family, {"the prompt": text}, {"<x>": 2}, lines.append)
        return lines

    for name in ("<my-cat>", "<猫>", "<x2>"):
        expected = f"{name} is plain text here: no word that was given is called so"
        assert notes(f"a <x> and ({name}:1.2)") == [expected]
    of_model = next(iter(family.encoders.values())).reader.tokenizer
    of_model.add_tokens(["<merged>"])
    for text in ("a <x>", "a < b > c", "<3", "1 <2> 3", "a <merged> cat"):
        assert notes(text) == []


def test_what_changes_no_word_is_reported(base: Path) -> None:
    def notes(**settings: Any) -> set[str]:
        reported = Notes()
        given: dict[str, Any] = {"base": base, "sampler_steps": 1, "resolution": 16}
        api.generate("a <cat>", progress=reported, **given, **settings)
        return {line.partition(" has no effect")[0] for line in reported.lines}

    word = Concept(
        "<cat>", {"clip_l": torch.randn(2, 32)}, provenance={"init": "cat", "init_mode": "words"}
    )
    assert {"--toward 0.5", "--rows 1"} <= notes(toward=0.5, rows=1)
    assert "--rows 2" in notes(rows=2, concept=word)
    assert not {"--toward 0.5", "--rows 1"} & notes(toward=0.5, rows=1, concept=word)


@pytest.mark.parametrize(
    ("prompt", "changes"), [("猫の写真", True), ("two 猫s", True), ("a cat", False)]
)
def test_a_word_that_is_in_no_prompt_is_reported(base: Path, prompt: str, changes: bool) -> None:
    reported = Notes()
    word = Concept("猫", {"clip_l": torch.randn(1, 32)})
    settings: dict[str, Any] = {"base": str(base), "sampler_steps": 1}
    with_word = api.generate(prompt, concept=word, progress=reported, **settings)
    assert ("猫 is in neither prompt, so it changes nothing" in reported.lines) == (not changes)
    without = api.generate(prompt, **settings)
    assert (with_word[0].tobytes() != without[0].tobytes()) == changes


@pytest.mark.parametrize(("prompt", "called"), [("a <toy>", "<toy>"), ("a toy", "toy")])
def test_a_word_by_the_name_of_its_file_is_told_as_the_prompt_has_it(
    base: Path, tmp_path: Path, prompt: str, called: str
) -> None:
    file, reported = tmp_path / "toy.safetensors", Notes()
    write_word(Concept("<lamp>", {"clip_l": torch.randn(1, 32)}), file)
    api.generate(prompt, concept=file, progress=reported, base=str(base), sampler_steps=1)
    (told,) = [line for line in reported.lines if "changes nothing" in line]
    assert shlex.split(told.split(", or give ")[1])[1] == f"{file}={called}"


def test_an_empty_prompt_is_reported(base: Path) -> None:
    reported = Notes()
    for prompt in ("a cat", " "):
        api.generate(prompt, progress=reported, base=str(base), sampler_steps=1)
    assert [line for line in reported.lines if "prompt is empty" in line] == [
        "the prompt is empty, so the model draws anything that it knows"
    ]


def test_a_word_within_the_name_of_another_is_in_no_prompt(base: Path) -> None:
    reported = Notes()
    words = [Concept(token, {"clip_l": torch.randn(1, 32)}) for token in ("<cat>", "<cat>-hat")]
    api.generate("a <cat>-hat", concept=words, progress=reported, base=str(base), sampler_steps=1)
    assert [line for line in reported.lines if "changes nothing" in line] == [
        "<cat> is in neither prompt, so it changes nothing"
    ]


def trained(pictures: Path, base: Path, out: Path, **settings: Any) -> list[str]:
    reported = Notes()
    api.train(pictures, "<x>", base=str(base), out=out, steps=1, progress=reported, **settings)
    return reported.lines


def test_training_reports_captions_and_previews_that_are_cut_off(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "1.txt").write_text("red, " * 50)
    (pictures / "2.txt").write_text("(red:1.2)")
    preview = ("a [name] [red:blue:0.5]" + "cat " * 80, "a dog")
    settings: dict[str, Any] = {"template": "captioned", "preview": preview, "vectors": 1}
    lines = trained(pictures, base, tmp_path / "run", **settings)
    (line,) = (
        line
        for line in lines
        if line.startswith("1 of 4 captions are cut off: the longest prompt, of 1")
    )
    assert ".png, has 109 tokens, but only 75 are read; not read: 'red, red" in line
    assert not any("cat cat" in line and "not read" in line for line in lines)
    assert any(line.startswith("[red:blue:0.5] is plain text here") for line in lines)
    assert sum(line.startswith("--preview a dog: no [name] in it") for line in lines) == 1
    assert any("(red:1.2) is plain text" in line for line in lines)
    prepared = api.prepare(
        pictures, out=tmp_path / "sheet.png", base=str(base), template="captioned"
    )
    cut = [look.problems[-1] for look in prepared.pictures if "tokens" in str(look.problems)]
    assert cut == ["has too long a caption: the prompt has 111 tokens, but only 75 are read"]
    assert any("(red:1.2) is plain text" in line for line in prepared.notes)


def test_a_word_longer_than_the_model_reads_is_refused_before_pictures_are_read(
    base: Path, pictures: Path
) -> None:
    family: Any = base_model.load_named(str(base), "cpu")
    family.encoders["clip_l"].reader.length = 22
    rows = family.encoders["clip_l"].table[:40]
    message = "<x>: 40 vectors do not fit: the model reads 20 tokens"
    with pytest.raises(ConceptError, match=message):
        check_compatible(Concept("<x>", {"clip_l": rows}), family)
    config = TrainConfig.check(pictures=[pictures], token="<x>", vectors=40, base=str(base))
    with pytest.raises(ConceptError, match=message):
        checks.against_model(family, config, ["a [name]"], lambda _text: None)


def test_an_error_about_a_template_shows_no_private_characters(
    base: Path,
) -> None:
    readers = base_model.Unloaded(BaseChoice(base=str(base))).readers
    with pytest.raises(PromptError) as error:
        prompt_checks.check_captions(
            readers, [], ["a photo of a [name]"], {"<x>": 75}, lambda _: None
        )
    assert "75 vectors does not fit into the template 'a photo of a [name]': " in str(error.value)
    assert "the prompt has 79 tokens, the model reads 75" in str(error.value)
    assert "'a photo of a [name]'. Shorten the prompt" in str(error.value)


@pytest.mark.parametrize("caption", ["my [name], red", "my <x>, red"])
def test_shuffled_tags_are_checked_in_the_worst_order(reader: PromptReader, caption: str) -> None:
    tags = [(Path("a.png"), caption + ", cat, dog")]
    new, note = {"<x>": 3}, Notes().note
    lines = ["a [name] [filewords]"]
    prompt_checks.check_captions([reader], tags, lines, new, note)
    with pytest.raises(PromptError, match=r"a\.png: with the template"):
        prompt_checks.check_captions([reader], tags, lines, new, note, shuffled=True)


@pytest.mark.parametrize("kind", ["also", "others"])
def test_no_word_of_shuffled_tags_may_be_cut_off(kind: str, reader: PromptReader) -> None:
    tags = [(Path("a.png"), "my <y>, red, cat, dog")]
    new, others = {"<x>": 3}, {"<y>": 4}
    if kind == "also":
        new, others = new | others, {}
    check: dict[str, Any] = {"new": new, "others": others, "note": lambda _text: None}
    lines = ["[name] [filewords]"]
    prompt_checks.check_captions([reader], tags, lines, **check)
    with pytest.raises(PromptError, match=r"a\.png: with the template"):
        prompt_checks.check_captions([reader], tags, lines, shuffled=True, **check)


CAPTIONS = [(Path("a.png"), "a photo of <x>, red"), (Path("b.png"), "[name] asleep")]


def test_captions_may_be_whole_prompts_if_the_word_is_in_each(reader: PromptReader) -> None:
    notes = Notes()
    prompt_checks.check_captions([reader], CAPTIONS, ["[filewords]"], {"<x>": 2}, notes.note)
    assert not notes.lines
    without = [*CAPTIONS, (Path("c.png"), "a red cat")]
    with pytest.raises(PromptError, match=r"c\.png: the word is not in its caption, 'a red cat'"):
        prompt_checks.check_captions([reader], without, ["[filewords]"], {"<x>": 2}, notes.note)
    prompt_checks.check_captions([reader], without, ["a [name]"], {"<x>": 2}, notes.note)
    assert not notes.lines
    for theirs in ("<embedding>", "[trigger]"):
        of_others = [(Path("d.png"), f"a {theirs} in a park")]
        with pytest.raises(PromptError) as error:
            prompt_checks.check_word(of_others, ["[filewords]"], ["<x>", "[name]"], [])
        assert f"Write [name] instead of {theirs}, or" in str(error.value)
        said = Notes()
        prompt_checks.note_weights([of_others[0][1]], said.note, ["<x>"])
        prompt_checks.note_unknown_words([of_others[0][1]], said.note, ["<x>"])
        assert said.lines == [f"{theirs} is plain text here: the new word is [name]"]


def test_a_word_that_is_in_caption_and_template_is_reported(reader: PromptReader) -> None:
    notes = Notes()
    templates = ["[name], [filewords]"]
    captions = [*CAPTIONS, (Path("c.png"), "a red cat")]
    prompt_checks.check_captions([reader], captions, templates, {"<x>": 1}, notes.note)
    (said,) = notes.lines
    assert said.startswith("2 of 3 captions have the word in them")


def test_a_caption_with_another_new_word_does_not_have_the_word_twice(reader: PromptReader) -> None:
    notes = Notes()
    captions = [(Path("a.png"), "on a <x-hat>")]
    new = {"<x>": 1, "<x-hat>": 1}
    prompt_checks.check_captions([reader], captions, ["[name] [filewords]"], new, notes.note)
    assert not notes.lines
