from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pseudoword.config import BenchConfig, TrainConfig
from pseudoword.config.optimiser_options import OptimiserOption
from pseudoword.config.prompt_lines import parse
from pseudoword.config.rates import Rates
from pseudoword.errors import SettingsError


def config(**changed: object) -> TrainConfig:
    return TrainConfig.check(**({"pictures": ["p"], "token": "<cat>"} | changed))


@given(
    st.builds(
        config,
        token=st.sampled_from(["<cat>", "ä 猫", '"quoted"', "a\\b"]),
        vectors=st.integers(1, 75),
        lr=st.floats(1e-6, 1.0),
        clip_norm=st.floats(0.1, 10),
        optimiser_option=st.lists(st.sampled_from(["betas=(0.9, 0.99)", " eps = 1e-6", "x=text"])),
        resolution=st.none() | st.integers(8, 2048),
        preview=st.lists(
            st.text(st.characters(exclude_categories=["C"])).filter(lambda text: text != "none"),
            max_size=3,
        ),
        seed=st.integers(0, 2**63 - 1),
    )
)
def test_settings_survive_a_file(before: TrainConfig) -> None:
    after = TrainConfig.from_toml(before.to_toml(), Path("config.toml"))
    assert after.pictures[0].is_absolute()
    different = {"pictures", "out"}
    assert after.model_dump(exclude=different) == before.model_dump(exclude=different)


def test_what_lies_here_is_found_from_elsewhere_and_what_is_known_by_name_stays_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model", "emoji", "hat", "cat", "subject", "sentences"):
        (tmp_path / name).mkdir()

    def written(**given: Any) -> dict[str, Any]:
        config = TrainConfig.check(pictures=["p"], token="<x>", **given)
        after = TrainConfig.from_toml(config.to_toml(), Path("config.toml"))
        return {name: getattr(after, name) for name in given}

    names = {"base": "emoji", "template": "subject", "init": "cat"}
    assert written(**names) == names
    here = {"base": "model", "configs": "model", "template": "sentences"}
    assert written(**here) == {name: str(tmp_path / value) for name, value in here.items()}
    assert written(words=["hat", "hat=<y>", "none"])["words"] == (
        *(str(tmp_path / "hat"), f"{tmp_path / 'hat'}=<y>", "none"),
    )
    assert written(init="hat", init_mode="file")["init"] == str(tmp_path / "hat")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"steps": 0}, r"^--steps: .*greater than or equal to 1 .*got 0"),
        ({"batch": "many"}, "^--batch: "),
        ({"lr": 0}, "^--lr: "),
        ({"lr": float("nan")}, "^--lr: "),
        ({"lr": float("inf")}, "^--lr: "),
        ({"clip_norm": -1}, "^--clip-norm: "),
        ({"vectors": 76}, "^--vectors: "),
        ({"init_mode": "guess"}, "^--init-mode: "),
        ({"seed": -1}, "^--seed: "),
        ({"token": ""}, "^--token is empty"),
        ({"token": "TOK, <a,b>,"}, '^--token .* has a comma in it.*: --token TOK --also "<a,b>"$'),
        ({"also": ("<a>,<b>=x",)}, '^--also .*: --also "<a>" --also "<b>"$'),
        ({"token": ","}, "^--token , is one word, and has a comma"),
        ({"pictures": []}, "^--pictures: "),
        ({"speed": 3}, "^--speed: "),
    ],
)
def test_a_wrong_setting_names_its_flag(changed: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        config(**changed)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"(?s)--steps.*--batch"):
        config(steps=0, batch=0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps = 0", r"steps: should be greater than or equal to 1 or be 'auto', got 0$"),
        ("batch = 1979-05-27", "batch: should be a valid integer"),
        ("[lr]\na = 1", "lr: should be a number, rates as text, or auto, got {'a': 1}"),
        ("stepps = 3", "stepps: there is no such setting; did you mean steps?"),
        ("clip_norm = true", "--clip-norm is no switch"),
        (f"steps = {'9' * 5000}", "is damaged"),
        (f"steps = 0x{'f' * 9000}", "steps: should be less than .* got a number of thousands"),
        (f"a = {'[' * 5000}", "is damaged"),
        ('token = "a\\u0000b"', "--token .* has a zero byte in it"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_name(
    text: str, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    given = {"pictures": ["p"], "token": "<cat>"}
    if text.startswith("token"):
        del given["token"]
    with pytest.raises(SettingsError, match=rf"mine\.toml:? {says}"):
        TrainConfig.gather(file, **given)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("theirs"), OSError("theirs")])
def test_what_ends_a_generator_is_not_taken_for_a_wrong_setting(error: BaseException) -> None:
    def pictures() -> Iterator[str]:
        yield "p"
        raise error

    with pytest.raises(type(error)) as raised:
        TrainConfig.check(pictures=pictures(), token="<cat>")
    assert raised.value is error


def test_what_a_generator_gives_is_checked_as_in_a_list() -> None:
    with pytest.raises(SettingsError, match=r"--pictures .* has a zero byte"):
        TrainConfig.check(pictures=(one for one in ["p", "q\0"]), token="<cat>")


def test_an_empty_list_is_told_in_a_sentence() -> None:
    with pytest.raises(SettingsError, match=r"^--pictures: should have at least 1 item, got \[\]$"):
        TrainConfig.check(pictures=[], token="<cat>")
    with pytest.raises(SettingsError, match="--compare: should have at least 1 item"):
        BenchConfig.check(compare=[])  # which would draw for minutes, and compare nothing


@pytest.mark.parametrize(
    ("changed", "read"),
    [
        ({"lr": np.float32(0.25)}, {"lr": Rates.parse("0.25")}),
        ({"lr": np.int64(1)}, {"lr": Rates.parse("1.0")}),
        ({"steps": np.int64(7)}, {"steps": 7}),
        ({"preview": "a photo of <cat>"}, {"preview": (parse("a photo of <cat>"),)}),
        ({"preview": "none"}, {"preview": ()}),
        ({"log": "csv"}, {"log": ("csv",)}),
        ({"optimiser_option": "eps=1"}, {"optimiser_option": (OptimiserOption.parse("eps=1"),)}),
    ],
)
def test_numbers_of_numpy_and_one_value_of_several_are_taken(
    changed: dict[str, Any], read: dict[str, Any]
) -> None:
    assert {name: getattr(config(**changed), name) for name in changed} == read


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"pictures": 3}, "--pictures: should be a path, got 3"),
        ({"pictures": {"a": 1}}, "--pictures: should be a list, got {'a': 1}"),
        ({"out": b"x"}, "--out: should be a path, got b'x'"),
        ({"preview": None}, "--preview: should be a text, got None"),
        ({"device": 3}, "--device: should be a text, got 3"),
        ({"average": "maybe"}, "--average: should be true or false, got maybe"),
        ({"batch": 3.5}, "--batch: should be a valid integer, got 3.5"),
        ({"num_steps": 3}, "--num-steps: there is no such setting; did you mean --steps?"),
        ({"init_modes": 3}, "--init-modes: there is no such setting; did you mean --init-mode?"),
    ],
)
def test_a_wrong_type_is_told_in_plain_words(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        config(**changed)
    assert str(raised.value) == says


def test_a_file_of_any_editor_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes("\ufeffpictures = ['p']\r\ntoken = 'ä'\r\n".encode())
    assert TrainConfig.gather(file).token == "ä"


@pytest.mark.parametrize("name", ["theirs.json", "theirs.yaml", "theirs.YML"])
def test_a_file_of_settings_in_another_language_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(SettingsError, match=rf"{name} is no TOML file\. Give its settings as"):
        TrainConfig.gather(tmp_path / name, pictures=["p"], token="<x>")


def test_a_damaged_file_is_named() -> None:
    with pytest.raises(SettingsError, match=r"runs/x/config\.toml is damaged"):
        TrainConfig.from_toml("steps = = 3", Path("runs/x/config.toml"))


@pytest.mark.parametrize(
    ("token", "folder"),
    [
        ("<my-cat>", "runs/my-cat"),
        ("../../etc", "runs/etc"),
        ("猫", "runs/猫"),
        ("<>", "runs/concept-223d7eef"),
    ],
)
def test_the_default_folder_is_named_after_the_token(token: str, folder: str) -> None:
    assert config(token=token).folder == Path(folder)
