import unicodedata
from pathlib import Path
from typing import Any

import pytest

from pseudoword.config import TrainConfig
from pseudoword.config.word_folders import word_configs
from pseudoword.errors import PseudowordError, SettingsError

TWO = """
steps = 20
lr = 0.01

[[concept]]
token = "<my cat>"
pictures = "cats"

[[concept]]
placeholder_token = "<lamp>"
pictures = ["a.png", "b.png"]
steps = "auto"
"""


def configs(folder: Path, text: str, **settings: Any) -> list[TrainConfig]:
    (folder / "list.toml").write_text(text)
    return word_configs(folder / "list.toml", folder / "out", None, settings)


def test_each_concept_has_settings_over_those_of_all(tmp_path: Path) -> None:
    cat, lamp = configs(tmp_path, TWO)
    assert (cat.token, cat.folder) == ("<my cat>", tmp_path / "out" / "my-cat")
    assert (lamp.token, lamp.folder) == ("<lamp>", tmp_path / "out" / "lamp")
    assert cat.pictures == (Path("cats"),)
    assert lamp.pictures == (Path("a.png"), Path("b.png"))
    assert (cat.steps, lamp.steps) == (20, "auto")  # auto is the default, and still counts
    assert str(cat.lr) == str(lamp.lr) == "0.01"


def test_what_is_given_now_counts_most(tmp_path: Path) -> None:
    assert [one.steps for one in configs(tmp_path, TWO, max_train_steps=7)] == [7, 7]


def test_a_run_s_settings_can_stand_below_a_list(tmp_path: Path) -> None:
    run = TrainConfig.check(pictures=["dogs"], token="<dog>", steps=5, batch=2)
    (tmp_path / "config.toml").write_text(run.to_toml())
    (tmp_path / "list.toml").write_text(TWO)
    found = word_configs(tmp_path / "list.toml", tmp_path / "out", tmp_path / "config.toml", {})
    assert [(one.token, one.steps, one.batch) for one in found] == [
        ("<my cat>", 20, 2),
        ("<lamp>", "auto", 2),
    ]
    (tmp_path / "list.toml").write_text('[[concept]]\ntoken = "<cat>"\n')
    with pytest.raises(
        PseudowordError, match=r"^\S*list.toml, concept 1: pictures is missing\. Give a folder"
    ):
        word_configs(tmp_path / "list.toml", tmp_path / "out", tmp_path / "config.toml", {})


def test_one_folder_for_two_is_told_by_the_number_of_the_other(tmp_path: Path) -> None:
    tokens = ("<Cat>", "<cat>", "<a/b>", "<a b>")
    text = "".join(f"[[concept]]\ntoken = '{token}'\npictures = 'p'\n" for token in tokens)
    with pytest.raises(PseudowordError) as caught:
        configs(tmp_path, text)
    first, second = str(caught.value).splitlines()
    assert "concept 2: <cat> would be in the same folder as concept 1, <Cat>" in first
    assert "concept 4: <a b> would be in the same folder as concept 3, <a/b>" in second


def test_a_list_that_is_no_text_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8\\")
    with pytest.raises(
        PseudowordError, match=r"cat\.jpg is no TOML file: it is not text in UTF-8$"
    ):
        word_configs(tmp_path / "cat.jpg", tmp_path / "out", None, {})


def test_one_error_tells_all_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(PseudowordError) as caught:
        configs(
            tmp_path,
            '[[concept]]\ntoken = "<a>"\npictures = "a"\nbatch = 0\n'
            '[[concept]]\npictures = "b"\n'
            '[[concept]]\ntoken = "<c>"\npictures = "c"\nstpes = 3\n',
        )
    first, second, third = str(caught.value).splitlines()
    assert "list.toml, concept 1: batch: should" in first
    assert "list.toml, concept 2: token is missing. Give the new word" in second
    assert "list.toml, concept 3: stpes: there is no such setting; did you mean steps?" in third


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("steps = 3", {}, r"no list of concepts.*\[\[concept\]\]"),
        ("concept = []", {}, r"no list of concepts"),
        ("concept = 3", {}, "no list of concepts"),
        ("[concept]\ntoken = '<a>'", {}, "no list of concepts"),
        ("concept", {}, "is damaged"),
        (f"token = '<a>'\n{TWO}", {}, "token cannot be given for all concepts"),
        (TWO, {"pictures": "x"}, "pictures cannot be given for all concepts"),
        (TWO, {"output_dir": "x"}, "out cannot be given for all concepts"),
        (f"{TWO}out = 'x'", {}, "concept 2: out cannot be given"),
        (f"{TWO}[[concept]]\ntoken='lamp'\npictures='x'", {}, "same folder as concept 2, <lamp>"),
    ],
)
def test_a_list_that_cannot_work_is_refused(
    tmp_path: Path, text: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(PseudowordError, match=said):
        configs(tmp_path, text, **settings)


def test_folders_called_as_kohya_s_scripts_want_them_teach_the_word_behind_the_number(
    tmp_path: Path,
) -> None:
    def tokens(*names: str) -> list[str]:
        folder = tmp_path / "-".join(names)
        for name in names:
            (folder / name).mkdir(parents=True)
        return [one.token for one in word_configs(folder, None, None, {})]

    assert tokens("10_panda bear", "5_dog") == ["<panda-bear>", "<dog>"]
    assert tokens("10_panda", "dog") == ["<10_panda>", "<dog>"]
    assert tokens("10_", "5_dog") == ["<10_>", "<5_dog>"]
    with pytest.raises(SettingsError, match="teaches <cat>, and"):
        tokens("1_cat", "2_cat")
    with pytest.raises(SettingsError, match="teaches <café>, and"):  # with the accent apart, too
        tokens(*(unicodedata.normalize(form, "café") for form in ("NFC", "NFD")))
