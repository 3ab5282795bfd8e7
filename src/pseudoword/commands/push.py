"""`push`: publish a run on the Hugging Face hub, with a model card."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.errors import PseudowordError
from pseudoword.formats import WRITERS
from pseudoword.formats.advice import diffusers
from pseudoword.formats.layers import for_other_tools
from pseudoword.lookup import HUB_ID, check_repository
from pseudoword.report import word_sheet
from pseudoword.runs.folder import CONFIG, CURVES
from pseudoword.text import code, command, markdown, reason, vector_sizes

MAX_PICTURES = 8

PREVIEW_NAME = re.compile(r"step-(\d+)-(\d+)\.png|filmstrip\.png")
"""File names of previews. Other pictures in their folder are not published."""

MODEL_CARD_LINES = (b"- pseudoword", b"instance_prompt:")
"""How the lines of our model cards begin that name this program and the word."""

SHOWN = re.compile(rb"\]\((previews/[^/()]+)\)")
"""A picture in one of them."""


class PushError(PseudowordError):
    """The files could not be published on the hub."""


class Pushed(BaseModel):
    """What was published."""

    url: str
    files: list[str]


def push_run(folder: Path, to: str, token: str | None, *, private: bool, overwrite: bool) -> Pushed:
    """Upload the word in `folder` to the repository `to`; the public `push`."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    check_repository(to)
    concept = formats.read(folder, token)
    files = repository_files(folder, concept, to)
    try:
        api = HfApi()
        outdated = _outdated(api, to, files, overwrite=overwrite)
        url = api.create_repo(to, exist_ok=True, private=private)
        if private and not api.repo_info(to).private:  # one that was there stays as it is
            raise PushError(
                f"{to} is there already, and everybody can see it. Make it private in its settings "
                "on the hub, choose another repository, or leave --private out."
            )
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(name, data) for name, data in files.items()),
            *(CommitOperationDelete(name) for name in outdated),
        ]
        api.create_commit(to, operations, commit_message=f"Add {concept.token}")
    except PushError:
        raise
    except Exception as error:  # the hub's own errors, and any of its network library's
        raise PushError(
            f"{to} could not be published: {reason(error)}. Log in with `hf auth login`, check the "
            "network, and run the same command again."
        ) from error
    return Pushed(url=str(url), files=sorted(files))


def _outdated(api: Any, to: str, files: Mapping[str, bytes], *, overwrite: bool) -> list[str]:
    """The pictures in the repository that an earlier version of the word was published with, and
    that this one does not have.

    Raises:
        PushError: files would be replaced that are of something else.
    """
    there = {*api.list_repo_files(to)} if api.repo_exists(to) else set()
    replaced = files.keys() & there
    old_card = b""
    if "README.md" in replaced:
        old_card = Path(api.hf_hub_download(to, "README.md")).read_bytes()
    our_lines = [
        line for line in files["README.md"].splitlines() if line.startswith(MODEL_CARD_LINES)
    ]
    if {*our_lines} <= {*old_card.splitlines()}:
        return sorted(there & {name.decode() for name in SHOWN.findall(old_card)} - files.keys())
    if replaced and not overwrite:
        raise PushError(
            f"{to} holds something else, and {', '.join(sorted(replaced))} would be replaced. "
            "Choose another repository, or add --overwrite."
        )
    return []


def repository_files(folder: Path, concept: Concept, to: str) -> dict[str, bytes]:
    """The repository's files: the word in our format and diffusers', pictures and a model card."""
    native = dict(WRITERS["native"].write(concept, None))
    files = {formats.CONCEPT_FILE: native[""]}
    theirs = for_other_tools(concept)
    if not WRITERS["diffusers"].refuses(theirs):
        for suffix, data in WRITERS["diffusers"].write(theirs, None).items():
            files[f"learned_embeds{suffix}.safetensors"] = data
    pictures: dict[str, bytes] = {}
    run = folder if folder.is_dir() else folder.parent
    if folder.is_dir() or (run / CONFIG).is_file():  # else what lies beside a file is not its own
        previews = _latest_previews(run, concept.token)
        pictures = {f"previews/{path.name}": path.read_bytes() for path in previews}
        loss = run / CURVES
        if loss.is_file() and not loss.is_symlink():
            files[CURVES] = loss.read_bytes()
    card = model_card(concept, to, tuple(pictures))
    return files | pictures | {"README.md": card.encode()}


def _latest_previews(run: Path, token: str) -> list[Path]:
    """The previews to publish, in the order of their steps, and the filmstrip of all of them.

    Of a run of several words, they are those with `token`. A link is none: it might show everybody
    a file from elsewhere.
    """
    found = {path: PREVIEW_NAME.fullmatch(path.name) for path in (run / "previews").glob("*.png")}
    own = word_sheet.previews_with(run, token)
    places = {
        path: tuple(float(number or math.inf) for number in name.groups())
        for path, name in found.items()
        if name and not path.is_symlink()
        if not (own and name[2]) or int(name[2]) in own
    }
    return sorted(places, key=lambda path: places[path])[-MAX_PICTURES:]


def model_card(concept: Concept, to: str, pictures: tuple[str, ...]) -> str:
    """The model card: the word, its pictures, how to use it, and how it was made."""
    from huggingface_hub import ModelCardData

    settings = concept.shared
    base = settings.get("base", "BASE")
    prompt = f"a photo of {concept.token}"
    widget = [{"text": prompt, "output": {"url": name}} for name in pictures]
    repository, _, _revision = base.partition("@")
    on_hub = bool(HUB_ID.fullmatch(repository))
    head = ModelCardData(
        base_model=repository if on_hub else None,
        library_name="diffusers" if on_hub else None,
        tags=["textual-inversion", "text-to-image", "pseudoword"],
        instance_prompt=prompt,
        widget=widget or None,
    )
    shapes = vector_sizes(concept.sizes)
    facts = {"family": concept.family or "not stated", "method": concept.method, "vectors": shapes}
    read = ["--clip-skip", settings["clip_skip"]] if "clip_skip" in settings else []
    draw = command("pseudoword", "generate", prompt, "--concept", to, "--base", base, *read)
    loading = diffusers.from_hub(for_other_tools(concept), to)
    parts = [
        f"---\n{head.to_yaml()}\n---",
        f"# {markdown(concept.token)}",
        f"The word {markdown(concept.token)}, learned by textual inversion on a frozen model.",
        "\n".join(f"![{markdown(prompt)}]({name})" for name in pictures),
        code(draw),
        code(loading, "python") if loading else "",
        _table({**facts, **settings}),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(facts: Mapping[str, str]) -> str:
    rows = "".join(f"| {markdown(name)} | {markdown(value)} |\n" for name, value in facts.items())
    return f"| setting | value |\n| --- | --- |\n{rows}"
