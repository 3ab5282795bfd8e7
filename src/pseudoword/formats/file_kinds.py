"""What a file is that is no embedding, and what to do with it.

The first bytes show it, or the names of the tensors inside.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pseudoword.text import brief

HEAD_NBYTES = 4096
"""Only this much of the beginning of a file is examined."""

MOST_NAMES = 4096
"""Only this many names in a file are examined."""

LONGEST_NAME = 200
"""Only this many characters of a name are examined."""

_JPEG_XL = "a JPEG XL picture, which cannot be read: convert it to PNG, without any change"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "a JPEG picture, which can hold no {expected}"),
    (b"GIF8", "a GIF picture, which can hold no {expected}"),
    (b"\xff\x0a", _JPEG_XL),
    (b"\0\0\0\x0cJXL ", _JPEG_XL),
    (b"%PDF", "a PDF document, not the {expected}"),
    (b"%!PS", "a PostScript document, not the {expected}"),
    (b"GGUF", "a GGUF model, which cannot be read"),
    (b"\x93NUMPY", "a NumPy array, not the {expected}"),
    (b"\x89HDF", "an HDF5 file, not the {expected}"),
    (b"\x1f\x8b", "packed with gzip: unpack it and give the {expected} itself"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it and give the {expected} itself"),
    (b"Rar!", "a RAR archive: unpack it and give the {expected} itself"),
    (b"\xfd7zXZ", "packed with xz: unpack it and give the {expected} itself"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it and give the {expected} itself"),
    (b"BZh", "packed with bzip2: unpack it and give the {expected} itself"),
)

_MARKUP = re.compile(
    r"<(!doctype|!--|\?xml|html|head|body|title|script|meta|error|[a-z][a-z0-9:-]*[\s>/])", re.I
)
_POINTER = re.compile(r"version https?://(git-lfs\.github\.com|hawser\.github\.com)/spec/", re.I)
_ANNEX = re.compile(r"\S*(/annex/objects/|\.git/annex)")


def describe_bytes(data: bytes, expected: str = "embedding") -> str | None:
    """What a file is by its first bytes, and what to do; None if that is unknown.

    The text continues a sentence "… is".

    Args:
        data: the file, or its first `HEAD_NBYTES`.
        expected: what the file should be.
    """
    head = data[:HEAD_NBYTES]
    if head and not head.strip(b"\0"):
        return "nothing but zero bytes, an unfinished download: download it again"
    if kind := next((kind for magic, kind in _MAGIC if head.startswith(magic)), None):
        return kind.format(expected=expected)
    if head[257:262] == b"ustar":
        return f"a tar archive: unpack it and give the {expected} itself"
    text = _text(head)
    return None if text is None else _describe_text(text, expected)


def _text(head: bytes) -> str | None:
    """`head` as text, without a byte order mark and leading spaces; None if it is no text."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
    else:
        try:
            text = head.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if error.start < len(head) - 3:  # otherwise the last letter was cut in two
                legacy = head.decode("latin-1").strip()
                return legacy if _MARKUP.match(legacy) else None
            text = head[: error.start].decode("utf-8-sig")
    text = text.strip("\ufeff").strip()
    printable = sum(letter.isprintable() or letter in "\t\r\n\f" for letter in text)
    return text if text and printable >= 0.98 * len(text) else None


def _describe_text(text: str, expected: str) -> str:
    """What a text file is that is in the place of a binary file."""
    if _POINTER.match(text):
        return (
            "a Git LFS pointer: it only names the file that belongs here. "
            "Run `git lfs pull` in its repository, or download the file itself"
        )
    if _ANNEX.match(text):
        return (
            "a git-annex pointer: it only names the file that belongs here. "
            "Run `git annex get` in its repository"
        )
    if _MARKUP.match(text):
        return (
            "a web page instead of the file: a login page or an error. Download it again, from the "
            "link of the file itself, and log in first if it asks for that"
        )
    if text[0] in "{[":
        message = _error_in(text)
        if message is None:
            return f"JSON, not the {expected}"
        return f"a server's message, not the file: {message!r}. Download it again"
    line = brief(text.splitlines()[0], 80)
    return f"plain text ({line!r}), not the {expected}. If it was downloaded, download it again"


def _error_in(text: str) -> str | None:
    """The error message in a JSON text, also in one that is cut off."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        match = re.search(r'"(?:error|message|detail)"\s*:\s*"([^"]{1,200})', text)
        return brief(match[1], 100) if match else None
    for name in ("error", "message", "detail", "errors", "reason"):
        message = data.get(name) if isinstance(data, dict) else None
        if isinstance(message, dict):
            message = message.get("message")
        if message:
            return brief(str(message), 100)
    return None


class FileKind(NamedTuple):
    """A kind of tensor file that is no embedding."""

    what: str
    advice: str
    """what to do, as a sentence without its full stop"""
    names: re.Pattern[str]
    """matches the dotted name of a tensor in such a file"""


_GENERATE_WITH_IT = "Give it to generate with --lora, if diffusers can read this kind"
_GIVE_EMBEDDING = "Give the embedding itself"
KINDS: tuple[FileKind, ...] = (
    FileKind(
        "a hypernetwork",
        _GIVE_EMBEDDING,
        re.compile(r"^(layer_structure|activation_func|is_layer_norm|last_layer_dropout)$"),
    ),
    FileKind(
        "an IP-adapter",
        _GIVE_EMBEDDING,
        re.compile(r"(^|\.)(ip_adapter|image_proj(_model)?|to_[kv]_ip|adapter_modules)(\.|$)"),
    ),
    FileKind(
        "a ControlNet",
        _GIVE_EMBEDDING,
        re.compile(
            r"(^|\.)(control_model|controlnet_\w+|zero_convs|input_hint_block|control_add_embedding)\."
            r"|^lllite_|^control_(lora|net)|^lora_controlnet$"
        ),
    ),
    FileKind(
        "a LoRA",
        _GENERATE_WITH_IT,
        re.compile(
            r"(^|[._])lora[._](A|B|up|down|mid|embedding_[AB]|magnitude_vector|linear_layer)(\.|$)"
            r"|^(lora|lycoris|loha|lokr)_\w+\.\w|^lora_(unet|te\d?|transformer|prior|dit)_"
            r"|_lora\d?\.(up|down|A|B)\b|(^|\.)base_model\.model\."
            r"|(^|[._])(hada|lokr)_[wt]\d(_[ab])?$|(^|\.)(oft_(diag|blocks|R|s)|boft_\w+"
            r"|dora_scale|vera_(lambda_[bd]|[AB])|ia3_l|on_input|diff|diff_b|[wb]_norm"
            r"|[ab][12]\.weight)(\.|$)"
            r"|:(up|down|alpha|rank)$|^(unet|text_encoder|transformer):\d"
        ),
    ),
    FileKind(
        "a base model",
        "Give it as --base",
        re.compile(r"(^|\.)model\.diffusion_model\."),  # its VAE and its optimiser are beside it
    ),
    FileKind(
        "an optimiser's state",
        "Its embedding is the file without .optim in its name: give that one",
        re.compile(
            r"(^|\.)(exp_avg(_sq)?|exp_inf|max_exp_avg_sq|momentum_buffer|square_avg|param_groups"
            r"|optimi[sz]er(_state_dict|_state|_states|s)?)(\.|$)"
        ),
    ),
    FileKind(
        "an encoded prompt or picture (the output of an encoder)",
        "An embedding is the input of a text encoder",
        re.compile(
            r"^(\w+[._])?(prompt|negative|text|caption|image|pooled|uncond\w*|encoder|last)_?"
            r"(prompt_|pooled_|negative_|text_)*(embeds?|embeddings|hidden_states?|attention_mask"
            r"|attn_mask)(_\d|_mask)?$|^(pooler_output|hidden_states?|attention_mask)$"
        ),
    ),
    FileKind(
        "a VAE",
        _GIVE_EMBEDDING,
        re.compile(
            r"(^|\.)((en|de)coder\.(conv_in|conv_out|norm_out|down|up|mid"
            r"|down_blocks|up_blocks|mid_block)\b|(post_)?quant_conv\.)"
        ),
    ),
    FileKind(
        "a model's weights",
        "A base model is given as --base",
        re.compile(
            r"\.(weight|bias|running_mean|running_var|num_batches_tracked|in_proj_weight"
            r"|in_proj_bias|weight_[gv])$|[./]kernel$"
            r"|^(model\.diffusion_model|cond_stage_model|first_stage_model|model_ema)\."
            r"|^(text_projection|logit_scale|position_ids)$"
        ),
    ),
)
"""Kinds by the names of their tensors, in the order in which they are tried."""


def is_network_weight(name: str) -> bool:
    """Whether a tensor with this name is a weight of a network; `<…>`, a token, never is."""
    return kind_of_names([name]) is not None


def kind_of_names(names: Iterable[str]) -> FileKind | None:
    """The kind of a file whose tensors have these names; None if it is unknown."""
    plain = [name[:LONGEST_NAME] for name in names if "<" not in name]
    return next((kind for kind in KINDS if any(map(kind.names.search, plain))), None)


def nested_names(data: object) -> Iterator[str]:
    """The dotted names of what nested dicts and lists hold; at most `MOST_NAMES` of them."""
    queue: list[tuple[str, object, int]] = [("", data, 0)]
    count = 0
    while queue and count < MOST_NAMES:
        prefix, item, depth = queue.pop(0)
        inside: Iterable[tuple[object, object]] = ()
        if depth < 4 and isinstance(item, dict):
            inside = item.items()
        elif depth < 4 and isinstance(item, list | tuple):
            inside = enumerate(item)
        for key, value in inside:
            count += 1
            if count > MOST_NAMES:
                return
            name = (f"{prefix}.{key}" if prefix else str(key))[:LONGEST_NAME]
            yield name
            if isinstance(value, dict | list | tuple):
                queue.append((name, value, depth + 1))
