"""pseudoword: teach a frozen text-to-image model a new word from three to five pictures."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pseudoword.api import (
        Base,
        Comparison,
        Concept,
        Demo,
        Evaluation,
        Gallery,
        Inspection,
        Plan,
        Prepared,
        PseudowordError,
        Pushed,
        Trained,
        bases,
        bench,
        convert,
        demo,
        evaluate,
        gallery,
        generate,
        inspect,
        plan,
        prepare,
        push,
        train,
        train_pack,
    )

__all__ = [
    "Base",
    "Comparison",
    "Concept",
    "Demo",
    "Evaluation",
    "Gallery",
    "Inspection",
    "Plan",
    "Prepared",
    "PseudowordError",
    "Pushed",
    "Trained",
    "bases",
    "bench",
    "convert",
    "demo",
    "evaluate",
    "gallery",
    "generate",
    "inspect",
    "plan",
    "prepare",
    "push",
    "train",
    "train_pack",
]


def __getattr__(name: str) -> Any:
    """Import the API, and torch with it, when it is first used: `--help` needs neither."""
    if name not in __all__:
        raise AttributeError(f"module 'pseudoword' has no attribute {name!r}")
    from pseudoword import api

    return getattr(api, name)
