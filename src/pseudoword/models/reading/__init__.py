"""How a model reads prompts: tokenizers, text encoders, and the rows of new words in them."""
