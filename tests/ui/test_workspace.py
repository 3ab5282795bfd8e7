"""Ids instead of paths: nothing else leads into a workspace, and nothing leads out of it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pseudoword.config import GenerateConfig, TrainConfig
from pseudoword.errors import PseudowordError, RunFolderError, SettingsError, StorageError
from pseudoword.ui.jobs import Queue
from pseudoword.ui.settings import bases, checked
from pseudoword.ui.workspace import KINDS, UnknownIdError, Workspace, WorkspaceLimits, base_name

HOSTILE = (
    *("", ".", "..", "../uploads", "a/../..", "/etc/passwd", "~", "C:\\", "locks\\x", "\0"),
    *(".hidden", "0" * 31, "0" * 33, "0" * 32 + "\n", "A" * 32, "０" * 32, "g" * 32),
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_id_leads_nowhere(workspace: Workspace, kind: Any) -> None:
    for name in HOSTILE:
        for lead in (workspace.path, workspace.place, workspace.new):
            with pytest.raises(UnknownIdError):
                lead(kind, name)


@pytest.mark.parametrize("name", [*HOSTILE, "locks"])
def test_what_is_no_id_is_no_lock(workspace: Workspace, name: str) -> None:
    before = sorted(workspace.folder.parent.rglob("*"))
    with pytest.raises(UnknownIdError), workspace.turn(name):
        pass
    with pytest.raises(UnknownIdError):
        workspace.is_held(name)
    queue = Queue(workspace)
    for change in (queue.stop, queue.remove, queue.undo_remove, queue.resume):
        with pytest.raises(UnknownIdError):
            change(name)
    left = {path for path in workspace.folder.parent.rglob("*") if path.parent.name != "names"}
    assert left - {workspace.folder / "locks" / "names"} == set(before)


def test_an_id_of_something_else_leads_nowhere(workspace: Workspace) -> None:
    name, _ = workspace.new("pictures")
    with pytest.raises(UnknownIdError, match="not in this workspace"):
        workspace.path("words", name)


def test_a_link_in_place_of_a_folder_leads_nowhere(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.folder / "words" / ("0" * 32)).symlink_to(tmp_path)
    with pytest.raises(UnknownIdError):
        workspace.path("words", "0" * 32)
    assert not workspace.ids("words")


def test_one_thing_that_goes_while_all_are_listed_hides_no_other(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {workspace.new("words")[0] for _ in range(5)}
    listed = os.scandir

    @contextlib.contextmanager
    def scanned(folder: Path) -> Iterator[list[os.DirEntry[str]]]:
        with listed(folder) as entries:
            found = [*entries]
        (workspace.folder / "words" / found[2].name).rmdir()
        names.remove(found[2].name)
        yield found

    monkeypatch.setattr(os, "scandir", scanned)
    assert set(workspace.ids("words")) == names


def test_a_link_in_place_of_a_kind_of_things_is_refused(tmp_path: Path) -> None:
    Workspace(tmp_path / "workspace")
    (tmp_path / "workspace" / "words").rmdir()
    (tmp_path / "workspace" / "words").symlink_to(tmp_path)
    with pytest.raises(StorageError, match="is a link"):
        Workspace(tmp_path / "workspace")


def test_ids_are_long_and_by_chance(workspace: Workspace) -> None:
    names = {workspace.new("pictures")[0] for _ in range(50)}
    assert len(names) == 50
    assert all(len(name) == 32 for name in names)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_nobody_else_on_the_machine_reads_what_is_uploaded(workspace: Workspace) -> None:
    _, folder = workspace.new("pictures")
    assert not folder.stat().st_mode & 0o077
    assert not workspace.folder.stat().st_mode & 0o077


def test_a_lock_is_waited_for_and_not_for_ever(workspace: Workspace) -> None:
    with workspace.turn("names"):
        assert workspace.is_held("names")
        with pytest.raises(RunFolderError), workspace.turn("names", patience_s=0.1):
            pass
    assert not workspace.is_held("names")
    with workspace.turn("names", patience_s=0):
        pass


def test_what_is_too_large_is_told_with_the_bound(tmp_path: Path) -> None:
    limits = WorkspaceLimits(largest_upload_mb=1, workspace_gb=0.002)
    workspace = Workspace(tmp_path / "workspace", limits)
    with pytest.raises(SettingsError, match=r"cat.png has 2 MB; at most 1 MB"):
        workspace.check_size(2_000_000, "cat.png")
    _, folder = workspace.new("pictures")
    (folder / "file").write_bytes(bytes(1_500_000))
    with pytest.raises(SettingsError, match=r"fills the 0\.002 GB"):
        workspace.check_size(900_000, "cat.png")


def test_the_trash_gives_back_what_it_was_given(workspace: Workspace) -> None:
    name, folder = workspace.new("words")
    (folder / "file").write_text("here")
    workspace.move_to_trash("words", name)
    assert not workspace.ids("words")
    workspace.bring_back("words", name)
    assert (workspace.path("words", name) / "file").read_text() == "here"
    with pytest.raises(UnknownIdError):
        workspace.bring_back("words", name)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("base", value) for value in ("/etc", "./x", "../x", "~/models", "x.safetensors")),
        *(("init", value) for value in ("/etc/passwd", "../a.pt", "word.pt", "runs/toy")),
        ("init_mode", "file"),  # then any word is the name of one
        ("template", "/etc/passwd"),
        ("template", "lines.txt"),
        ("preview", ["a [name]", "/etc/secret.txt"]),
        ("sample_prompts", "secret.txt"),
        ("out", "elsewhere"),
        ("pictures", ["/etc"]),
        ("train_data_dir", ["/etc"]),
        ("configs", "/etc"),
        ("variant", "../../x"),
    ],
)
def test_no_setting_from_a_page_names_a_file(
    workspace: Workspace, setting: str, value: Any
) -> None:
    with pytest.raises(SettingsError):
        checked(workspace, TrainConfig, {setting: value})


def test_a_lora_is_one_that_the_owner_has_put_there(workspace: Workspace) -> None:
    (workspace.folder / "loras" / "style.safetensors").touch()
    found = checked(workspace, GenerateConfig, {"lora": ["style.safetensors:0.5"]})
    assert found["lora"] == [f"{workspace.folder}/loras/style.safetensors:0.5"]
    for name in ("../style.safetensors", "/etc/passwd", "other.safetensors:1"):
        with pytest.raises(SettingsError, match="no such file"):
            checked(workspace, GenerateConfig, {"lora": [name]})


def test_a_base_is_bundled_the_owners_or_on_the_hub(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bases(workspace) == ["emoji", "tiny"]
    assert checked(workspace, TrainConfig, {"base": "emoji"})["base"] == "emoji"
    assert Path(checked(workspace, TrainConfig, {"base": "tiny"})["base"]).samefile(
        workspace.folder / "models" / "tiny"
    )
    hub = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert checked(workspace, TrainConfig, {"base": hub})["base"] == hub
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)  # where the page was started, such folders are no models
    for name in ("owner/name", "folder"):
        with pytest.raises(PseudowordError):
            checked(workspace, TrainConfig, {"base": name})


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\cat.png", "cat.png"),
        ("..", ".."),
        ("a %22b%22 c%0Ad 100%.png", 'a "b" c\nd 100%.png'),  # as browsers write it
        ("a%20b%41.png", "a%20b%41.png"),
        ("", "upload"),
        ("x" * 1000, "x" * 200),
    ],
)
def test_of_a_name_that_comes_with_a_file_the_last_part_is_shown(name: str, shown: str) -> None:
    assert base_name(name) == shown
