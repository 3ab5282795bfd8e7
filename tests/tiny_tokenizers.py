"""Tiny tokenizers that are not CLIP's: real classes of transformers with a few words."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import GemmaTokenizer, LlamaTokenizer, Qwen2Tokenizer, T5Tokenizer

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""A template like Qwen 3's."""

INSTRUCT = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST]"
    "{{ message.content[0].text }}[/INST]{% else %}{{ message.content[0].text }}{% endif %}"
    "{% endfor %}"
)
"""A template like Mistral's."""


def t5(folder: Path, words: Iterable[str]) -> T5Tokenizer:
    """A Unigram tokenizer like T5's: no begin token, an end token, a space before each word."""
    letters = [chr(c) for c in range(33, 127)]
    pieces = [("▁", -2.0), *((f"▁{word}", -4.0) for word in words)]
    pieces += [(letter, -8.0) for letter in letters]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    made = T5Tokenizer(vocab=[*special, *pieces], model_max_length=512)
    made.save_pretrained(folder)
    return made


def qwen(folder: Path, words: Iterable[str], first: Iterable[str] = ()) -> Qwen2Tokenizer:
    """A byte-level BPE tokenizer like Qwen's: the space before a word belongs to its token.

    The words in `first` are tokens where no space is before them.
    """
    known = [*(f"Ġ{word}" for word in words), *first]
    vocab, merges = _merged(sorted(ByteLevel.alphabet()), known)
    made = Qwen2Tokenizer(
        {word: i for i, word in enumerate(vocab)}, merges, model_max_length=4096, chat_template=CHAT
    )
    marks = ("<|im_start|>", "<|im_end|>")
    made.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    made.save_pretrained(folder)
    return made


def mistral(folder: Path, words: Iterable[str]) -> Qwen2Tokenizer:
    """A byte-level BPE tokenizer like Mistral's: its template writes `<s>`; padding on the left."""
    made = qwen(folder, words)
    marks = [AddedToken(mark, special=True) for mark in ("[INST]", "[/INST]", "[IMG]")]
    made.add_special_tokens({"bos_token": "<s>"})
    made.add_tokens(marks)
    made.padding_side = "left"
    made.chat_template = INSTRUCT
    made.save_pretrained(folder)
    return made


def gemma(folder: Path, words: Iterable[str]) -> GemmaTokenizer:
    """A BPE tokenizer like Gemma's: a begin token, `▁` for spaces, bytes for unknown letters."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = ["▁", "\n", *(chr(c) for c in range(33, 127)), *(f"<0x{b:02X}>" for b in range(256))]
    vocab, merges = _merged([*special, *letters], (f"▁{word}" for word in words))
    made = GemmaTokenizer({word: i for i, word in enumerate(vocab)}, merges)
    begin = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", made.bos_token_id)])
    made._tokenizer.post_processor = begin
    made.save_pretrained(folder)
    return made


def llama(folder: Path, words: Iterable[str]) -> LlamaTokenizer:
    """A BPE tokenizer like Llama 2's with an end token, as Pile-T5 has it; padding on the left."""
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    letters = ["▁", *(chr(c) for c in range(33, 127)), *(f"<0x{b:02X}>" for b in range(256))]
    vocab, merges = _merged([*special, *letters], (f"▁{word}" for word in words))
    made = LlamaTokenizer({word: i for i, word in enumerate(vocab)}, merges, pad_token="<pad>")
    end = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", made.eos_token_id)])
    made._tokenizer.post_processor = end
    made.save_pretrained(folder)
    return made


def _merged(letters: list[str], words: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """A vocabulary with `words`, and the merges that make them from left to right."""
    vocab = dict.fromkeys(letters)
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        for end in range(2, len(word) + 1):
            vocab[word[:end]] = None
            merges[word[: end - 1], word[end - 1]] = None
    return list(vocab), list(merges)
