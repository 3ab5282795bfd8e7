"""What Sana and Lumina 2 share: Gemma 2 is all that reads, and is told which tokens are padding."""

from functools import partial

from pseudoword.models.families.transformer import TransformerFamily
from pseudoword.models.family import Condition
from pseudoword.models.injection import Words, rows_of
from pseudoword.models.language_model import up_to
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.prompt_reader import PromptReader, Reads
from pseudoword.models.prompts import Prompts
from pseudoword.models.text_encoder import TextEncoder

KEY = "gemma2_2b"


class GemmaFamily(TransformerFamily):
    """A model that reads hidden states of Gemma 2; a concept has rows for it.

    A family is a subclass that says how prompts and negative prompts are read, and behind which of
    Gemma's blocks.
    """

    reads: Reads
    """makes a reader of prompts"""
    reads_against: Reads
    """makes one of negative prompts"""
    last = -1
    """which of the hidden states are the text"""

    @classmethod
    def readers(cls, parts: ModelParts) -> list[PromptReader]:
        return [parts.reader("", cls.reads)]

    def load_encoders(self) -> dict[str, TextEncoder]:
        from transformers import Gemma2Model

        take = partial(up_to, last=self.last)
        return {KEY: self.parts.text_encoder(Gemma2Model, "", self.reads, masked=True, take=take)}

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        return _condition(self.encoders[KEY], prompts, words)

    def encode_negative(self, prompts: Prompts, words: Words) -> Condition:
        gemma = self.encoders[KEY]
        reader = self.reads_against(gemma.reader.tokenizer)
        return _condition(gemma.reading_with(reader), prompts, words)


def _condition(gemma: TextEncoder, prompts: Prompts, words: Words) -> Condition:
    encoded = gemma(prompts, rows_of(words, KEY))
    return Condition(encoded.text(encoded.part("last_hidden_state")), mask=encoded.mask)
