"""A run's folder as a repository on the Hugging Face hub, with a model card."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.errors import PseudowordError, SettingsError
from pseudoword.formats import WRITERS
from pseudoword.lookup import HUB_ID

MOST_PICTURES = 8


class PushError(PseudowordError):
    """The hub did not take the files."""


class Pushed(BaseModel):
    """What was published."""

    url: str
    files: list[str]


def publish(folder: Path, to: str, private: bool) -> Pushed:
    """Upload the word in `folder` to the repository `to`; the public `push`.

    Raises:
        SettingsError: `to` is no repository's name.
        ConceptError: the folder holds no word.
        PushError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    if not HUB_ID.fullmatch(to) or ".." in to:
        raise SettingsError(f"--to {to!r}: give a repository such as your-name/my-cat")
    concept = formats.read(folder)
    parts = contents(folder, concept, to)
    operations = [CommitOperationAdd(name, data) for name, data in parts.items()]
    try:
        api = HfApi()
        url = api.create_repo(to, exist_ok=True, private=private)
        api.create_commit(to, operations, commit_message=f"Add {concept.token}")
    except Exception as error:  # the hub's own errors, and any of its network library's
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PushError(
            f"{to} could not be published: {reason}. Log in with `hf auth login`, check the "
            "network, and run the same command again."
        ) from error
    return Pushed(url=str(url), files=sorted(parts))


def contents(folder: Path, concept: Concept, to: str) -> dict[str, bytes]:
    """The repository's files: ours, the names diffusers looks for, pictures and a model card."""
    parts = dict(WRITERS["native"].write(concept, None))
    files = {formats.CONCEPT_FILE: parts[""]}
    if not WRITERS["diffusers"].refuses(concept):
        for suffix, data in WRITERS["diffusers"].write(concept, None).items():
            files[f"learned_embeds{suffix}.safetensors"] = data
    inside = folder if folder.is_dir() else folder.parent
    pictures = sorted((inside / "previews").glob("*.png"))[-MOST_PICTURES:]
    names = {f"previews/{path.name}": path.read_bytes() for path in pictures}
    loss = inside / "loss.png"
    if loss.is_file():
        files["loss.png"] = loss.read_bytes()
    return files | names | {"README.md": card(concept, to, tuple(names)).encode()}


def card(concept: Concept, to: str, pictures: tuple[str, ...]) -> str:
    """The model card: what the word is, how it looks, how it is used and how it was made."""
    said = concept.provenance
    prompt = f"a photo of {concept.token}"
    tags = ["textual-inversion", "text-to-image", "pseudoword"]
    head: dict[str, object] = {"tags": tags, "instance_prompt": prompt}
    if said.get("base", "").count("/") == 1:
        head |= {"base_model": said["base"], "library_name": "diffusers"}
    if pictures:
        head["widget"] = [{"text": prompt, "output": {"url": name}} for name in pictures]
    shapes = ", ".join(f"{key} {len(r)} × {r.shape[1]}" for key, r in concept.vectors.items())
    shown = "\n".join(f"![{prompt}]({name})" for name in pictures)
    front = "".join(f"{k}: {json.dumps(v, ensure_ascii=False)}\n" for k, v in head.items())
    facts = {"family": concept.family or "not stated", "method": concept.method, "vectors": shapes}
    return (
        f"---\n{front}---\n\n# {_plain(concept.token)}\n\n"
        f"The word `{_plain(concept.token)}`, learned by textual inversion on a frozen model.\n\n"
        f"{shown}\n\n"
        f"```\npseudoword generate {prompt!r} --concept {to} --base {said.get('base', 'BASE')}\n"
        f'```\n\n```python\npipeline.load_textual_inversion("{to}")\n```\n\n'
        f"{_table({**facts, **said})}"
    )


def _table(facts: Mapping[str, str]) -> str:
    rows = "".join(f"| {_plain(name)} | {_plain(value)} |\n" for name, value in facts.items())
    return f"| setting | value |\n| --- | --- |\n{rows}"


def _plain(text: str) -> str:
    """Without what Markdown tables and code would take for their own."""
    return " ".join(text.replace("|", "¦").replace("`", "'").split())
