"""Where a placeholder is found: in any script, in plurals, and never inside another word."""

import unicodedata

import pytest

from pseudoword.config import TrainConfig
from pseudoword.errors import SettingsError
from pseudoword.placeholders import (
    as_written,
    check_token,
    delimited,
    replace_placeholders,
    split,
    undelimited,
)

FOUND = [
    ("<cat>", "two <cat>s"),
    ("<cat>", "a <cat>, a red<cat>x"),
    ("cat", "two cats"),
    ("cat", "cats."),
    ("fox", "some foxes"),
    ("cat", "the cat's toy, cat\u2019s"),
    ("cat", "(cat), cat-like, cat\u2014asleep"),
    ("c++", "a c++"),
    ("猫", "猫の写真"),
    ("猫", "这是一只猫。"),
    ("猫", "猫cat"),
    ("cat", "catの写真"),
    ("cat", "這隻cat的照片"),
    ("แมว", "ภาพถ่ายของแมวบนหญ้า"),
    ("ແມວ", "ຮູບແມວຂອງຂ້ອຍ"),
    ("ឆ្មា", "រូបថតឆ្មាមួយ"),
    ("ကြောင်", "ကြောင်ပုံ"),
    ("고양이", "고양이는 잔다"),
    ("<고양이>", "<고양이>는 잔다"),
    ("toyy", "toyy의 사진"),
    ("кот", "рыжий кот."),
    ("γάτα", "μια γάτα"),
    ("قطة", "صورة قطة"),
    ("खिलौना", "एक खिलौना।"),
    ("גur", "גur"),
    ("🐈", "a🐈b"),
    ("❤", "❤\ufe0f"),
    ("گربه", "گربه\u200cها"),
]

NOT_FOUND = [
    ("cat", "category"),
    ("cat", "bobcat"),
    ("cat", "catsuit"),
    ("cat", "cat2 cat_2 my_cat 2cat"),
    ("cat", "catà"),
    ("cafe", "café"),
    ("cafe", unicodedata.normalize("NFD", "café")),
    ("cat", "cat\u0301"),
    ("кот", "который"),
    ("कम", "कमाल"),
    ("कम", "कमी"),
    ("قط", "قطة"),
    ("🐈", "🐈\u200d⬛"),
]


@pytest.mark.parametrize(("token", "text"), FOUND)
def test_a_word_is_found_in_any_script(token: str, text: str) -> None:
    pieces = split(text, [token])
    assert token in pieces[1::2]
    assert "".join(pieces) == text


@pytest.mark.parametrize(("token", "text"), NOT_FOUND)
def test_a_word_is_not_found_inside_another(token: str, text: str) -> None:
    assert len(split(text, [token])) == 1


@pytest.mark.parametrize("token", ["café", "<Ängström>", "가나", "が"])
def test_accents_may_be_encoded_either_way(token: str) -> None:
    forms = [unicodedata.normalize(form, token) for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    assert check_token(forms[1]) == forms[0]
    for one in forms:
        for other in forms:
            assert split(f"a {one} here", [other]) == ["a ", forms[0], " here"]


@pytest.mark.parametrize(("token", "why"), [("__metadata__", "reserved"), ("x" * 1001, "1001 ch")])
def test_a_name_that_no_file_can_hold_is_refused(token: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        check_token(token)


def test_a_delimited_placeholder_is_found_beside_any_text() -> None:
    text = f"{delimited('cat')}egory my{delimited('cat')}2 category"
    assert split(text, ["cat"]) == ["", "cat", "egory my", "cat", "2 category"]
    assert as_written(text) == "category mycat2 category"


def test_of_several_placeholders_the_longest_is_found() -> None:
    assert split("cats", ["cat", "cats"]) == ["", "cats", ""]
    assert split("my cat's", ["my ca", "cat", "cat's t"]) == ["my ", "cat", "'s"]
    assert split("a b c d", ["b c", "a b", "c d"]) == ["", "a b", " ", "c d", ""]


def test_a_text_of_many_partial_placeholders_takes_no_time() -> None:
    text = "catt" * 25_000 + "\u0301" * 1000 + "cat"
    assert len(split(text, ["cat", "catt" * 30])) == 1


def test_a_word_in_a_caption_becomes_the_placeholder() -> None:
    mark = delimited(0)
    written = f"{mark} beside two <cat>s and a <cat>-hat"
    marks = {"<cat>": mark, "<cat>-hat": delimited("=a"), "0": delimited("=b")}
    assert replace_placeholders(written, marks) == f"{mark} beside two {mark}s and a \ue000=a\ue001"
    assert as_written(f"a {mark} and {delimited('<cat>')}") == "a [name] and <cat>"
    assert undelimited(mark) == "0"


@pytest.mark.parametrize("token", ["[name]", "a [filewords]", "\ue0000\ue001"])
def test_a_token_with_another_meaning_is_refused(token: str) -> None:
    with pytest.raises(SettingsError, match="--token"):
        TrainConfig.check(pictures=["."], token=token)
