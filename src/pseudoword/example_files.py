"""What comes along to try things out with, for the bundled base model."""

from pathlib import Path

_BUNDLED = Path(__file__).parent / "bundled"

PANDA = _BUNDLED / "demo" / "panda"
"""A thing that the bundled base model has never seen; other drawings of it are in `unseen/`."""

EXAMPLE_PICTURES = PANDA / "learn"
"""Four drawings of it with captions."""

EXAMPLE_NAME, EXAMPLE_INIT = "panda", "bear"
"""What to call it, and the known word to start from."""

EXAMPLE_WORDS = _BUNDLED / "words"
"""Words, each in the format of another tool."""
