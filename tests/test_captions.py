from pathlib import Path

import pytest

from pseudoword import captions
from pseudoword.errors import SettingsError


def test_every_shipped_template_names_the_word_once() -> None:
    for lines in captions.SETS.values():
        assert len(set(lines)) == len(lines)
        assert all(line.count("[name]") == 1 for line in lines)


def test_render_fills_in_name_and_filewords() -> None:
    assert captions.render("a [name], [filewords]", "<cat>", "asleep") == "a <cat>, asleep"


def test_templates_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("a [name]\n\n  [name] in bed  \n")
    assert captions.templates(str(file)) == ("a [name]", "[name] in bed")


@pytest.mark.parametrize(
    ("text", "says"), [("a cat\n", "line 1"), ("\n", "empty"), ("\xff", "UTF-8")]
)
def test_a_bad_template_file_is_explained(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.txt"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=says):
        captions.templates(str(file))


def test_an_unknown_set_is_explained() -> None:
    with pytest.raises(SettingsError, match="neither one of object, style, minimal, captioned nor"):
        captions.templates("nonesuch")
