"""A CLIP-format tokenizer for captions and everyday English; other text is split into bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from basemodel.settings import TEXT_TOKENS, WORLD

START, END = "<|startoftext|>", "<|endoftext|>"
# The rule by which CLIP splits text into words.
_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


def everyday_words() -> list[str]:
    """The words listed in world/words.txt."""
    text = (WORLD / "words.txt").read_text(encoding="utf-8")
    return [w for line in text.splitlines() if not line.startswith("#") for w in line.split()]


def _bytes() -> list[str]:
    """The 256 printable characters that stand for bytes, in CLIP's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(len(others))]


def learn_tokenizer(captions: list[str], folder: Path) -> None:
    """Learn merges from captions and everyday words; write the tokenizer's files to `folder`."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=6000,
        min_frequency=2,
        end_of_word_suffix="</w>",
        show_progress=False,
        initial_alphabet=_bytes(),
        # Of two equally frequent pairs, the one with lower token ids is merged first. Letters at
        # the end of a word would get ids in the order of a hash table, so they get ids here.
        special_tokens=[b + "</w>" for b in _bytes()],
    )
    in_captions = set(re.findall("[a-z]+", " ".join(captions).lower()))
    # Each word three times: enough for a token of its own, too few to change common merges.
    text = [
        *captions,
        *(word for word in everyday_words() if word not in in_captions for _ in range(3)),
    ]
    learner.train_from_iterator(text, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    table = [*_bytes(), *(b + "</w>" for b in _bytes()), *("".join(pair) for pair in merges)]
    table = list(dict.fromkeys(table))
    vocab = {token: number for number, token in enumerate([*table, START, END])}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=TEXT_TOKENS)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    # Older transformers read these two instead of tokenizer.json.
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def token_ids(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Token ids [B,32] int64, padded and cut as in StableDiffusionPipeline."""
    ids: torch.Tensor = tokenizer(
        captions,
        padding="max_length",
        max_length=TEXT_TOKENS,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return ids
