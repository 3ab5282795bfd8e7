"""Samples that other trainers draw, as lines of previews: `a cat --n blurry --d 7`."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

_LETTERS = {
    **{"negative_prompt": "n", "neg": "n", "seed": "d", "width": "w", "height": "h"},
    **{"sample_steps": "s", "diffusion_steps": "s"},
    **{"guidance_scale": "l", "scale": "l", "cfg_scale": "l"},
    **{"sample_sampler": "ss", "noise_scheduler": "ss"},
}
"""Settings of a sample, of kohya's scripts, OneTrainer or ai-toolkit -> the letter of ours. kohya's
`guidance_scale` is that of models which read it, and their `scale` is then 1."""


def lines_of_samples(samples: Iterable[Any], shared: Mapping[str, Any]) -> list[str]:
    """A line for each sample that has a prompt and is not switched off.

    Args:
        samples: prompts, or objects with a prompt and settings.
        shared: settings of all of them.
    """
    lines = []
    for one in samples:
        own = one if isinstance(one, Mapping) else {"prompt": one}
        prompt = own.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip() or own.get("enabled") is False:
            continue
        line = " ".join(prompt.split()).replace("[trigger]", "[name]")
        for name, letter in _LETTERS.items():
            value = own.get(name, shared.get(name))
            if name == "seed" and own.get("random_seed"):
                continue
            if value not in (None, "") and f" --{letter} " not in line:
                line += f" --{letter} {value}"
        lines.append(line)
    return lines


def lines_of_file(text: str, suffix: str) -> list[str]:
    """The samples in a file: kohya's TOML or JSON, or OneTrainer's JSON.

    Raises:
        ValueError: it is neither.
    """
    if suffix == ".json":
        samples, shared = json.loads(text), {}
    else:
        shared = tomllib.loads(text).get("prompt", {})
        samples = shared.get("subset") if isinstance(shared, dict) else None
    return lines_of_samples(samples, shared) if isinstance(samples, list) else []
