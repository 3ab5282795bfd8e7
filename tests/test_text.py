"""Text for sentences: short, on one line, without control characters."""

import shlex

import pytest

from pseudoword import text
from pseudoword.text import (
    brief,
    command,
    counted,
    duration,
    listed,
    nearest,
    reason,
    vector_sizes,
    without_middle,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<cat>", "<cat>"),
        ("a\nb\x1b[2J", r"a\nb\x1b[2J"),
        (0.005, "0.005"),
        (["a", 1], "['a', 1]"),
        ("a" * 60 + "b" * 60, "a" * 48 + " … " + "b" * 48),
        ("/home/" + "a" * 200, "/home/" + "a" * 200),
        ("D:\\" + "a" * 200, "D:\\" + "a" * 200),
        ("/home/" + "a" * 500, "/home/" + "a" * 192 + " … " + "a" * 198),
    ],
)
def test_any_value_fits_into_a_sentence(value: object, expected: str) -> None:
    assert brief(value) == expected


def test_so_does_a_number_that_python_does_not_write() -> None:
    assert brief(10**5000) == "a number of thousands of digits"


@pytest.mark.parametrize("length", [99, 100, 101, 10_000])
@pytest.mark.parametrize("most", [9, 100])
def test_what_is_cut_has_the_length_asked_for_or_one_less(length: int, most: int) -> None:
    cut = without_middle("x" * length, most)
    assert len(cut) == min(length, most) or len(cut) == most - 1 < length


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("it is\n  broken.\n\nSee https://x"), "it is broken"),
        (ValueError(""), "ValueError"),
        (KeyError("\x1b"), r"'\x1b'"),
    ],
)
def test_the_reason_is_what_a_library_says_first(error: Exception, said: str) -> None:
    assert reason(error) == said


def test_the_nearest_name_is_the_one_that_was_meant() -> None:
    assert nearest("bach", ["steps", "batch"]) == "batch"
    assert nearest("clip", ["steps", "clip_skip"]) == "clip_skip"
    assert nearest("resolution", ["prediction", "patience"]) == ""
    assert nearest("x" * 10**6, ["steps", "batch"]) == ""


def test_the_vectors_of_many_layers_are_counted() -> None:
    layered = {
        f"{key}.{layer}": (2, width)
        for key, width in (("clip_l", 768), ("clip_g", 1280))
        for layer in ("IN04", "MID", "OUT00")
    }
    assert (
        vector_sizes({"clip_l": (2, 768), "clip_g": (1, 1280)}) == "clip_l 2 × 768, clip_g 1 × 1280"
    )
    assert vector_sizes(layered) == (
        "clip_l 2 × 768 for each of 3 layers, clip_g 2 × 1280 for each of 3 layers"
    )
    layered["clip_l"] = 2, 768
    assert "clip_l 2 × 768 for all and each of 3 layers" in vector_sizes(layered)


def test_a_long_list_shows_its_first_items_and_counts_the_rest() -> None:
    assert listed("abc") == "a, b, c"
    assert listed([1, 2, 3, 4, 5]) == "1, 2, 3 and 2 more"
    assert listed(["a", "b"], most=1) == "a and 1 more"


def test_durations_are_short_and_rough() -> None:
    assert [duration(seconds) for seconds in (0.2, 45, 200, 4800)] == [
        *("1 s", "45 s", "3 min", "1 h 20 min")
    ]


def test_one_of_a_thing_has_no_plural() -> None:
    assert [counted(n, "word") for n in (0, 1, 2)] == ["0 words", "1 word", "2 words"]


@pytest.mark.parametrize(
    ("argument", "here", "on_windows"),
    [
        ("runs/toy", "runs/toy", "runs/toy"),
        (r"C:\runs\toy", r"'C:\runs\toy'", r"C:\runs\toy"),
        ("a photo of <my-cat>", '"a photo of <my-cat>"', '"a photo of <my-cat>"'),
        ("C:\\my runs\\", "'C:\\my runs\\'", '"C:\\my runs\\\\"'),
        ("owner/name@main", "owner/name@main", '"owner/name@main"'),
        ("s3://bucket/queue", "s3://bucket/queue", "s3://bucket/queue"),
        ('the "toy"', "'the \"toy\"'", '"the \\"toy\\""'),
        ("it's $5", "'it'\"'\"'s $5'", "'it''s $5'"),
    ],
)
def test_a_command_can_be_pasted_into_the_shell_of_the_system(
    argument: str, here: str, on_windows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "WINDOWS", False)
    assert command("pseudoword", argument) == f"pseudoword {here}"
    assert shlex.split(command(argument)) == [argument]
    monkeypatch.setattr(text, "WINDOWS", True)
    assert command("pseudoword", argument) == f"pseudoword {on_windows}"
