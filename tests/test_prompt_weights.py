"""The grammar of prompts: AUTOMATIC1111's, in which placeholders are found first."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pseudoword.placeholders import delimited, split
from pseudoword.prompt_weights import Prompt, parse, plain

UP, DOWN = 1.1, 1 / 1.1

GRAMMAR: list[tuple[str, list[list[tuple[str, float]]]]] = [
    ("", [[]]),
    ("a red cat", [[("a red cat", 1)]]),
    ("a (red) cat", [[("a ", 1), ("red", UP), (" cat", 1)]]),
    ("a ((red)) cat", [[("a ", 1), ("red", UP * UP), (" cat", 1)]]),
    ("a [red] cat", [[("a ", 1), ("red", DOWN), (" cat", 1)]]),
    ("a (red:1.3) cat", [[("a ", 1), ("red", 1.3), (" cat", 1)]]),
    ("(red: .5 )(cat:+2.)(dog:-1)(toy:0)", [[("red", 0.5), ("cat", 2), ("dog", -1), ("toy", 0)]]),
    ("(a (red:1.5) cat:0.5)", [[("a ", 0.5), ("red", 0.75), (" cat", 0.5)]]),
    ("([red])", [[("red", DOWN * UP)]]),
    ("(red)(cat)", [[("redcat", UP)]]),
    ("a()b", [[("ab", 1)]]),
    (r"\(red\) \[cat\] a\\b \x", [[(r"(red) [cat] a\b x", 1)]]),
    (r"(red \(toy\):1.2)", [[("red (toy)", 1.2)]]),
    ("a red) cat] :1.2)", [[("a red) cat] :1.2)", 1)]]),
    ("a (red cat", [[("a ", 1), ("red cat", UP)]]),
    ("a [red (cat", [[("a ", 1), ("red ", DOWN), ("cat", UP * DOWN)]]),
    ("(red:1.2.3) 16:9", [[("red:1.2.3", UP), (" 16:9", 1)]]),
    ("a cat BREAK a dog", [[("a cat ", 1)], [(" a dog", 1)]]),
    ("BREAKFAST, BREAK", [[("BREAKFAST, ", 1)], []]),
    ("(a cat BREAK a dog:1.2)", [[("a cat ", 1.2)], [(" a dog", 1.2)]]),
]


def runs(prompt: Prompt) -> list[list[tuple[str, object]]]:
    return [[(run.text, pytest.approx(run.weight)) for run in part] for part in prompt.parts]


@pytest.mark.parametrize(("text", "meant"), GRAMMAR)
def test_a_prompt_is_read_as_automatic1111_reads_it(
    text: str, meant: list[list[tuple[str, float]]]
) -> None:
    assert runs(parse(text, [])) == meant


@pytest.mark.parametrize(
    ("token", "text", "weights"),
    [
        ("[cat]", "a [cat] here", [1]),
        ("(cat)", "a (cat), ((cat))", [1, UP]),
        ("(cat:2)", "(cat:2) ((cat:2):0.5)", [1, 0.5]),
        ("<a:1.2)", "<a:1.2)", [1]),
        ("BREAK", "BREAK (BREAK)", [1, UP]),
        ("cat", "(cat:1.3), two [cats] and (cat's) toy, category", [1.3, DOWN, UP]),
        ("cat", r"\(cat\) (a \(cat:1.2)", [1, 1.2]),
        ("猫", "(猫の写真:1.4)[猫]", [1.4, DOWN]),
        ("cat", f"(my{delimited('cat')}egory:1.4)", [1.4]),
        ("café", "(cafe\u0301:1.4)", [1.4]),
    ],
)
def test_a_placeholder_is_found_before_the_grammar_and_has_the_weight_around_it(
    token: str, text: str, weights: list[float]
) -> None:
    found = [run for part in parse(text, [token]).parts for run in part if run.is_placeholder]
    assert [run.text for run in found] == [token] * len(weights)
    assert [run.weight for run in found] == pytest.approx(weights)


def test_plain_text_has_no_grammar() -> None:
    assert runs(plain(r"((red)) <x> BREAK \(", ["<x>"])) == [
        [("((red)) ", 1), ("<x>", 1), (r" BREAK \(", 1)]
    ]


def test_an_escaped_bracket_leaves_a_token_with_brackets_as_text() -> None:
    assert runs(parse(r"\[cat\]", ["[cat]"])) == [[("[cat]", 1)]]
    assert not parse(r"\[cat\]", ["[cat]"]).parts[0][0].is_placeholder


@pytest.mark.parametrize(
    ("text", "unclosed"),
    [
        ("a (red) [cat]", ""),
        ("a (red <x> cat", "(red <x> cat"),
        ("<x> [a (red] cat", "(red] cat"),
        (r"a \(red :)", ""),
    ],
)
def test_a_bracket_that_is_not_closed_is_known(text: str, unclosed: str) -> None:
    assert parse(text, ["<x>"]).unclosed == unclosed


SIGNS = st.sampled_from(
    ["(", ")", "[", "]", ":", ":1.2)", ":٣)", "\\", "BREAK", "<x>", "[y]", "a ", "猫", "1.5", "\n"]
)


@given(st.lists(SIGNS | st.text(max_size=3), max_size=40).map("".join))
def test_any_text_is_a_prompt(text: str) -> None:
    tokens = ["<x>", "[y]", "猫"]
    prompt = parse(text, tokens)
    inside = [run.text for part in prompt.parts for run in part if run.is_placeholder]
    assert inside == split(text, tokens)[1::2]
    assert prompt.text == text
    assert all(run.text for part in prompt.parts for run in part)


@given(st.text(min_size=1).map(lambda text: unicodedata.normalize("NFC", text)))
def test_escaped_text_is_kept_as_it_is(text: str) -> None:
    assert runs(parse(re.sub(r"[()\[\]\\]", r"\\\g<0>", text), [])) == [[(text, 1)]]


def test_a_long_row_of_signs_takes_no_time() -> None:
    for sign in ("(", ")", "[(", ":", ":1", "\\", "BREAK", " ", ": ", "1"):
        parse(sign * 2000, ["<x>"])
