"""Publishing to a hub and fetching from one, over HTTP, in processes of their own."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import embedding_files
import pytest
from embedding_files import G, L, rows
from fake_hub import Hub, serve
from forked import Process
from PIL import Image
from safetensors.torch import load, save
from word_files import write_word

from pseudoword import formats
from pseudoword.commands import push
from pseudoword.commands.push import PushError
from pseudoword.concept import Concept

Served = tuple[Hub, str]


@pytest.fixture
def served() -> Iterator[Served]:
    with serve() as result:
        yield result


def run(address: str, home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command, with the hub at `address`."""
    hub = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home / "hf")}
    direct = {"HF_TOKEN": "hf_test", "NO_PROXY": "*", "no_proxy": "*"}
    process = Process(*arguments, env=hub | direct)
    code = process.wait()
    texts = [str(one) for one in arguments]
    return subprocess.CompletedProcess(texts, code, process.stdout, process.stderr)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a finished run."""
    facts = {"base": "some/model", "steps": "7", "init": "a | b"}
    word = Concept("<my-cat>", {"clip_l": rows(2, 32)}, "sd", provenance=facts)
    write_word(word, tmp_path / "run" / "concept.safetensors")
    (tmp_path / "run" / "previews").mkdir()
    for name in ("previews/step-7-1.png", "loss.png"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / "run" / name)
    (tmp_path / "run" / "config.toml").write_text("pictures = ['/home/me/private']")
    return tmp_path / "run"


def test_a_word_is_published_with_a_card_and_fetched_again(
    served: Served, finished: Path, tmp_path: Path
) -> None:
    hub, address = served
    done = run(address, tmp_path, "push", finished, "--to", "me/my-cat", "--private")
    assert done.returncode == 0, done.stderr
    assert f"{address}/me/my-cat" in done.stdout
    files = hub.repositories["me/my-cat"]
    assert hub.private["me/my-cat"]
    assert set(files) == {
        "README.md",
        "concept.safetensors",
        "learned_embeds.safetensors",
        "loss.png",
        "previews/step-7-1.png",
    }
    assert files["concept.safetensors"] == (finished / "concept.safetensors").read_bytes()
    assert set(load(files["learned_embeds.safetensors"])) == {"<my-cat>"}
    card = files["README.md"].decode()
    assert card.startswith("---\n")
    assert "base_model: some/model" in card
    assert r"![a photo of \<my-cat\>](previews/step-7-1.png)" in card
    assert r"| init | a \| b |" in card
    assert "| steps | 7 |" in card
    assert "private" not in card
    done = run(address, tmp_path, "convert", "me/my-cat", tmp_path / "back.safetensors")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back.safetensors").read_bytes() == files["concept.safetensors"]


def test_pictures_of_an_earlier_version_leave_the_repository(
    served: Served, finished: Path, tmp_path: Path
) -> None:
    hub, address = served
    assert run(address, tmp_path, "push", finished, "--to", "me/my-cat").returncode == 0
    hub.repositories["me/my-cat"]["previews/mine.png"] = b"put there by hand"
    previews = finished / "previews"
    (previews / "step-7-1.png").rename(previews / "step-9-1.png")
    assert run(address, tmp_path, "push", finished, "--to", "me/my-cat").returncode == 0
    files = hub.repositories["me/my-cat"]
    shown = {name for name in files if name.startswith("previews/")}
    assert shown == {"previews/mine.png", "previews/step-9-1.png"}
    assert "loss.png" in files


def test_words_on_the_hub_are_read_by_their_id(served: Served, tmp_path: Path) -> None:
    hub, address = served
    hub.repositories["sd-concepts-library/midjourney-style"] = {
        "learned_embeds.bin": embedding_files.THEIRS["diffusers 1-D"][0](),
        "token_identifier.txt": b"<cat>",
        "concept_images/1.jpeg": b"",
    }
    done = run(address, tmp_path, "inspect", "sd-concepts-library/midjourney-style", "--json")
    assert done.returncode == 0, done.stderr
    assert '"token": "<cat>"' in done.stdout
    assert not any("jpeg" in call for call in hub.calls)
    hub.repositories["me/xl"] = {
        "learned_embeds.safetensors": save({"<xl>": L}),
        "learned_embeds_2.safetensors": save({"<xl>": G}),
    }
    done = run(address, tmp_path, "convert", "me/xl", tmp_path / "xl.safetensors")
    assert done.returncode == 0, done.stderr
    back = formats.read(tmp_path / "xl.safetensors")
    assert back.vectors["clip_l"].equal(L)
    assert back.vectors["clip_g"].equal(G)


def test_generate_draws_with_a_hub_id(served: Served, base: Path, tmp_path: Path) -> None:
    hub, address = served
    hub.repositories["me/cat"] = {"learned_embeds.safetensors": save({"<cat>": rows(1, 32)})}
    options = ("--base", base, "--sampler-steps", 1, "--out", tmp_path / "a.png")
    done = run(address, tmp_path, "generate", "a <dog>", "--concept", "me/cat=<dog>", *options)
    assert done.returncode == 0, done.stderr
    assert "in neither prompt" not in done.stderr
    assert (tmp_path / "a.png").is_file()


def test_what_the_hub_refuses_is_explained(served: Served, finished: Path, tmp_path: Path) -> None:
    hub, address = served
    hub.repositories["me/model"] = {"model.safetensors": b""}
    done = run(address, tmp_path, "inspect", "me/model")
    assert (done.returncode, done.stdout) == (2, "")
    assert "holds none of concept.safetensors" in done.stderr
    done = run(address, tmp_path, "inspect", "me/nowhere")
    assert done.returncode == 2
    assert "no file or folder here, and could not be fetched" in done.stderr
    hub.refuse = True
    done = run(address, tmp_path, "push", finished, "--to", "me/my-cat")
    assert done.returncode == 2
    assert "hf auth login" in done.stderr
    assert "Traceback" not in done.stderr
    done = run(address, tmp_path, "push", finished, "--to", "my-cat")
    assert done.returncode == 2
    assert "your-name/my-cat" in done.stderr


def test_what_only_you_shall_see_is_not_put_where_all_can_see_it(
    served: Served, finished: Path, tmp_path: Path
) -> None:
    hub, address = served
    hub.repositories["me/my-cat"] = {".gitattributes": b""}
    done = run(address, tmp_path, "push", finished, "--to", "me/my-cat", "--private")
    assert done.returncode == 2
    assert "everybody can see it" in done.stderr
    assert set(hub.repositories["me/my-cat"]) == {".gitattributes"}
    hub.private["me/my-cat"] = True
    for _again in range(2):
        done = run(address, tmp_path, "push", finished, "--to", "me/my-cat", "--private")
        assert done.returncode == 0, done.stderr
    assert "concept.safetensors" in hub.repositories["me/my-cat"]


def test_the_previews_of_the_last_steps_are_published(finished: Path) -> None:
    word = formats.read(finished)
    names = [f"step-{step}-{n}.png" for step in range(100, 1100, 100) for n in (1, 2)]
    for name in ("filmstrip.png", "mine.png", *names):
        (finished / "previews" / name).write_bytes(b"")
    files = push.repository_files(finished, word, "me/x")
    shown = [name for name in files if name.startswith("previews/")]
    assert shown == [f"previews/{name}" for name in (*names[-7:], "filmstrip.png")]


def test_what_is_linked_from_elsewhere_is_not_published(finished: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    for place in ("previews/step-9999-1.png", "previews/filmstrip.png", "loss.png"):
        (finished / place).unlink(missing_ok=True)
        (finished / place).symlink_to(secret)
    files = push.repository_files(finished, formats.read(finished), "me/x")
    assert b"secret" not in files.values()
    assert any(name.startswith("previews/") for name in files)


def test_the_card_draws_with_the_layer_that_the_word_was_learned_on() -> None:
    facts = {"base": "some/model", "clip_skip": "2"}
    word = Concept("<cat>", {"clip_l": rows(1, 768)}, "sd", provenance=facts)
    assert "--base some/model --clip-skip 2" in push.model_card(word, "me/x", ())


def test_what_lies_beside_a_file_is_published_only_in_a_run(finished: Path) -> None:
    file = finished / "concept.safetensors"
    word = formats.read(file)
    in_run = push.repository_files(file, word, "me/x")
    assert in_run.keys() == push.repository_files(finished, word, "me/x").keys()
    (finished / "config.toml").unlink()
    elsewhere = push.repository_files(file, word, "me/x")
    assert in_run.keys() - elsewhere.keys() == {"loss.png", "previews/step-7-1.png"}


class Repository:
    """The part of the hub's API that is used before a push."""

    def __init__(self, folder: Path, files: Mapping[str, bytes]) -> None:
        self._folder, self._files = folder, files

    def repo_exists(self, _name: str) -> bool:
        return True

    def list_repo_files(self, _name: str) -> list[str]:
        return [".gitattributes", *self._files]

    def hf_hub_download(self, _name: str, file: str) -> str:
        (self._folder / "got").write_bytes(self._files[file])
        return str(self._folder / "got")


def test_a_push_replaces_only_an_earlier_version_of_the_word(
    finished: Path, tmp_path: Path
) -> None:
    def check(files: Mapping[str, bytes], word: Concept) -> None:
        parts = push.repository_files(finished, word, "me/x")
        push._outdated(Repository(tmp_path, files), "me/x", parts, overwrite=False)

    word = formats.read(finished)
    ours = push.repository_files(finished, word, "me/x")
    check(ours, word)
    check({"photo.jpg": b"", "LICENSE": b""}, word)
    later = Concept(word.token, {"clip_l": rows(1, 32)}, "sd", provenance={"steps": "9"})
    check(ours, later)
    for files, one in (
        (ours, formats.with_token(word, "<dog>")),
        ({"README.md": b"# mine"}, word),
        ({"learned_embeds.safetensors": b""}, word),
        ({"README.md": b"", "loss.png": b""}, word),
    ):
        with pytest.raises(PushError, match=r"would be replaced\..*--overwrite"):
            check(files, one)
