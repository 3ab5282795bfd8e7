"""Shared files hold no paths of this machine, and no text in them is executed."""

import base64
import io
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import yaml
from embedding_files import rows
from PIL import Image
from word_files import write_as, write_word

from pseudoword import api, formats, text
from pseudoword.commands import push
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.written_files import ENDINGS
from pseudoword.formats import WRITERS
from pseudoword.report import charts, html, picture_output
from pseudoword.runs import trackers

TELLTALE = "Zyzzyva Quux's, home"
LOCAL = "config.toml"
"""The files of a run that stay on the machine, because the run resumes from them."""


def inside(data: bytes, depth: int = 4) -> Iterator[bytes]:
    """`data`, and everything packed in it: zips, PNG chunks, base64."""
    yield data
    if not depth:
        return
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from inside(archive.read(name), depth - 1)
    at = 8
    while data[:4] == b"\x89PNG" and at < len(data):
        length = int.from_bytes(data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            yield from inside(body.partition(b"\0")[2], depth - 1)
            for start in (1, 4):
                try:
                    yield from inside(zlib.decompress(body.partition(b"\0")[2][start:]), depth - 1)
                except zlib.error:
                    continue
        at += 12 + length
    for result in re.findall(rb"[A-Za-z0-9+/]{200,}={0,2}", data):
        yield from inside(base64.b64decode(result[: len(result) // 4 * 4]), depth - 1)


def tells(data: bytes) -> bool:
    return any(part in some for some in inside(data) for part in (b"Zyzzyva", b"Quux"))


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tell-tale name, with all inputs of a run in it."""
    folder = tmp_path_factory.mktemp("somewhere") / TELLTALE
    tiny.stable_diffusion(folder / "base")
    for pictures in ("pictures", "others"):
        (folder / pictures).mkdir()
        for i, colour in enumerate(("red", "green", "blue")):
            Image.new("RGB", (40, 40), colour).save(folder / pictures / f"{i}.png")
    for name in ("lines", "more"):
        (folder / f"{name}.txt").write_text("a photo of [name]", encoding="utf-8")
    (folder / "link").symlink_to(folder, target_is_directory=True)
    write_word(Concept("<x>", {"clip_l": rows(1, 32)}, "sd"), folder / "start.safetensors")
    return folder


@pytest.fixture(scope="module")
def run(secret: Path) -> tuple[Path, list[str]]:
    """A run in that folder, resumed after nearly all its settings were changed."""
    titles: list[str] = []
    settings: dict[str, Any] = {"init": str(secret / "start.safetensors"), "vectors": 1, "batch": 2}
    settings |= {"preview": ["a [name] --s 1"], "log": ["csv", "tensorboard"], "save_every": 1}
    settings |= {
        "timestep_sampling": "uniform",
        "evaluate_every": 2,
        "out": secret / "run",
        "base": str(secret / "base"),
    }
    with pytest.MonkeyPatch.context() as patch:
        curves = charts.curves

        def recorded(entries: Any, title: str) -> bytes:
            titles.append(title)
            return curves(entries, title)

        patch.setattr(charts, "curves", recorded)
        patch.setenv("PSEUDOWORD_CACHE", str(secret / "cache"))
        first: dict[str, Any] = {**settings, "template": str(secret / "lines.txt"), "steps": 2}
        api.train(secret / "pictures", "<cat>", **first)
        moved = str(secret / "link" / "base")
        later: dict[str, Any] = {"steps": 4, "template": str(secret / "more.txt"), "base": moved}
        later = {**settings, **later, "pictures": [secret / "others"]}
        api.train(token="<cat>", allow_changes=True, **later)
    return secret / "run", titles


def test_no_file_of_a_run_holds_a_path_of_this_machine(run: tuple[Path, list[str]]) -> None:
    folder, titles = run
    assert len(list(folder.rglob("*"))) > 12
    for path in folder.rglob("*"):
        if path.is_file() and path.name != LOCAL:
            assert not tells(path.read_bytes()), path.name
    assert tells((folder / "config.toml").read_bytes()), "the test would see it"
    assert titles
    assert not any(tells(title.encode()) for title in titles)
    texts = api.inspect(folder).provenance
    assert texts["base"] == "base"
    assert texts["init"] == "start.safetensors"
    assert "--template was lines.txt, is more.txt" in texts["changed"]


@pytest.mark.parametrize("name", WRITERS)
def test_no_format_holds_a_path_of_this_machine(
    run: tuple[Path, list[str]], name: str, tmp_path: Path
) -> None:
    word = formats.read(run[0])
    result = {"base": f"/home/{TELLTALE}/x", "changed": f"--init was C:\\{TELLTALE}\\a b, is cat"}
    word = Concept(word.token, word.vectors, "sd", provenance={**word.provenance, **result})
    if reason := WRITERS[name].refuses(word):
        pytest.skip(reason)
    written = write_as(word, tmp_path / f"a{ENDINGS[name]}", name)
    for path in written:
        assert not tells(path.read_bytes())
        for back in formats.read_all(path):
            assert not tells(repr(back.provenance).encode())


def test_no_card_picture_page_or_tracker_gets_a_path_of_this_machine(
    run: tuple[Path, list[str]], secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = formats.read(run[0])
    for name, data in push.repository_files(run[0], word, "me/cat").items():
        assert not tells(name.encode() + data), name
    drawing: dict[str, Any] = {"base": str(secret / "base"), "sampler_steps": 1, "n": 2}
    (picture, _) = api.generate("a <cat>", concept=run[0], **drawing)
    (tmp_path / "drawn.png").write_bytes(picture_output.encode_picture(picture, "PNG"))
    assert b"Model: base" in (tmp_path / "drawn.png").read_bytes()
    shown: dict[str, Any] = {
        "title": f"<cat> on {text.public(drawing['base'])}",
        "sections": [("it", picture)],
    }
    facts = {"judge": str(secret / "judge"), "pictures": f"{secret}/a, {secret}/b"}
    page = html.page(concept=word, facts=facts, run=secret / "run", **shown)
    (tmp_path / "report.html").write_bytes(page)
    api.gallery(secret, out=tmp_path / "gallery.png")
    for path in tmp_path.iterdir():
        assert not tells(path.read_bytes()), path.name
    sent: dict[str, Any] = {}
    monkeypatch.setattr(trackers, "Hosted", lambda library, **options: sent.update(options))
    config = TrainConfig.check(
        pictures=[secret / "pictures"], token="<cat>", base=str(secret / "base"), out=run[0]
    )
    trackers.TRACKERS["trackio"](run[0], config, [])
    assert not tells(repr(sent).encode())


@pytest.mark.parametrize(
    ("texts", "shared"),
    [
        ("emoji", "emoji"),
        ("owner/name", "owner/name"),
        ("owner/name@refs/pr/1", "owner/name@refs/pr/1"),
        ("and/or 1/2, a cat", "and/or 1/2, a cat"),
        ("https://huggingface.co/a/b", "https://huggingface.co/a/b"),
        ("/home/me/my model", "my model"),
        ("/home/me/model/", "model"),
        ("~/models/x.ckpt", "x.ckpt"),
        ("~me/x", "x"),
        ("../me/x", "x"),
        (r"C:\Users\Me & You\x.ckpt", "x.ckpt"),
        ("c:/Users/me/x.ckpt", "x.ckpt"),
        (r"\\server\me\x", "x"),
        ("file:///home/me/x", "x"),
        ("was /home/a b/x, is /home/c/y; --z was ~/q", "was x, is y; --z was q"),
        ('cannot open "/home/me/x" or https://a.b/c/d', 'cannot open "x" or https://a.b/c/d'),
        ("a\x1b[31m\udcff\n", r"a\x1b[31m\xff\n"),
    ],
)
def test_only_the_last_part_of_a_path_is_shared(texts: str, shared: str) -> None:
    assert text.public(texts) == shared
    assert text.public_values({"a": [texts, 1]}) == {"a": [shared, 1]}


def test_an_existing_path_and_a_link_keep_their_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "secret").mkdir(parents=True)
    (tmp_path / "owner" / "shown").symlink_to(tmp_path / "owner" / "secret")
    monkeypatch.chdir(tmp_path)
    assert text.public("owner/shown") == "shown"
    monkeypatch.chdir(tmp_path / "owner" / "shown")
    assert text.public(".") in ("shown", "secret")


HOSTILE = (
    "<script>alert(1)</script>",
    "```",
    "--- \n# a",
    "a\n```\n# Owned",
    "a | b",
    '"; rm -rf ~; echo "',
    "$(reboot) `reboot`",
    "![x](http://evil/x.png)",
    "<img src=x onerror=alert(1)>",
    '\'] """ {{ 7 * 7 }} {% for %}',
    "&lt;b&gt;",
    "a: b\nlicense: evil",
    "- !!python/object:os.system",
    "\U0001f431 кот ش",
    "\x1b]8;;http://evil\x07\u202e\u2028",
    "\udcff",
)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_does_not_break_a_model_card(hostile: str) -> None:
    token = "".join(c for c in hostile if c.isprintable()).strip() or "x"
    texts = {"base": hostile, "init": hostile, hostile: "x"}
    word = Concept(token, {"clip_l": torch.ones(1, 8)}, "sd", provenance=texts)
    card = push.model_card(word, "me/cat", ("previews/step-1-1.png",))
    card.encode()
    _, front, body = card.split("---\n", 2)
    head = yaml.safe_load(front)
    assert set(head) == {"tags", "instance_prompt", "widget"}
    assert head["instance_prompt"] == f"a photo of {token}"
    lines = body.splitlines()
    fences = [line for line in lines if re.match("`{3,}", line)]
    assert len(fences) == 4
    assert fences[0] == fences[1].removesuffix("python")
    outside = "".join(re.split(r"(?m)^`{3,}.*$", body)[::2])
    assert sum(line.startswith("#") for line in outside.splitlines()) == 1
    assert not re.search(r"(?<!\\)<\w|(?<!\\)`|(?<!\\)\[x", outside)
    rows_of_table = [line for line in lines if line.startswith("| ")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in rows_of_table)
    assert all(c.isprintable() for line in lines for c in line)


@pytest.mark.parametrize("hostile", [*HOSTILE, "\\", '"""', "\x7f\x85", "'"])
def test_settings_come_back_from_toml_as_they_were(hostile: str) -> None:
    token = "".join(c for c in hostile if c.isprintable()).strip() or "x"
    lines = (hostile.replace("--", "").replace("\udcff", ""), "[name]")
    config = TrainConfig.check(pictures=["p"], token=token, init=token, preview=lines)
    back = TrainConfig.from_toml(config.to_toml(), Path("config.toml"))
    assert (back.token, back.init, back.preview) == (config.token, config.init, config.preview)
    assert tuple(map(str, back.preview)) == lines


class Page(HTMLParser):
    """Collects the tags, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.said = ""

    def handle_starttag(self, tag: str, _attributes: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_report_shows_hostile_text_and_does_not_run_it(hostile: str, tmp_path: Path) -> None:
    token = "".join(c for c in hostile if c.isprintable()).strip() or "x"
    word = Concept(token, {"clip_l": torch.ones(1, 8)}, provenance={"base": hostile, hostile: "x"})
    picture = [(hostile, Image.new("RGB", (2, 2)))]
    facts = {hostile: hostile}
    written = html.page(title=hostile, concept=word, sections=picture, facts=facts, run=tmp_path)
    page = Page()
    page.feed(written.decode())
    known = "html meta title style h1 h2 table tr td img p code".split()
    assert page.tags == set(known)
    assert page.said.count(text.visible(hostile)) >= 3
    assert token in page.said


@pytest.mark.parametrize("hostile", ["$\\frac$", "a_$b^{", "\udcff \U0001f431\x1b"])
def test_a_plot_takes_any_title(hostile: str) -> None:
    charts.curves([{"step": 1, "loss": 1.0, "norm": 1.0, "lr": 0.1}], hostile)
    charts.rate_curve([(1e-3, 1.0), (1e-2, 2.0)], 1e-3, hostile)


def test_only_previews_are_published(run: tuple[Path, list[str]], tmp_path: Path) -> None:
    shutil.copytree(run[0], tmp_path / "run")
    for name in ("mine.png", "a) <b>.png", os.fsdecode(b"\xff.png")):
        Image.new("RGB", (2, 2)).save(tmp_path / "run" / "previews" / name)
    files = push.repository_files(tmp_path / "run", formats.read(run[0]), "me/cat")
    shown = {name for name in files if name.startswith("previews/")}
    assert shown == {"previews/filmstrip.png", "previews/step-2-1.png", "previews/step-4-1.png"}
