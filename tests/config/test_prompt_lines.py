import pytest

from pseudoword.config.prompt_lines import PromptLine, parse
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
