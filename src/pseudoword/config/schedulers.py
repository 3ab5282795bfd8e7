"""Schedulers of diffusers by name."""

import re
from collections.abc import Iterator

from pseudoword.config.installed import names_in
from pseudoword.errors import SettingsError
from pseudoword.text import brief

STARTS, END = ("", "FlowMatch"), "Scheduler"
ENDS = ("", END, f"Discrete{END}")
"""Beginnings and ends of diffusers' names of schedulers, which nobody has to write."""

_ELSEWHERE = {
    "ddim": "DDIM",
    "ddpm": "DDPM",
    "pndm": "PNDM",
    "lms": "LMSDiscrete",
    "euler": "EulerDiscrete",
    "euler_a": "EulerAncestralDiscrete",
    "heun": "HeunDiscrete",
    "dpm_2": "KDPM2Discrete",
    "dpm2": "KDPM2Discrete",
    "dpm_2_a": "KDPM2AncestralDiscrete",
    "dpm2_a": "KDPM2AncestralDiscrete",
    "dpmsolver++": "DPMSolverMultistep",
    "dpm++_2m": "DPMSolverMultistep",
    "dpmpp": "DPMSolverMultistep",
    "dpmsingle": "DPMSolverSinglestep",
    "unipc": "UniPCMultistep",
}
"""Names in kohya's scripts, AUTOMATIC1111 and OneTrainer -> diffusers'. They are compared in small
letters, with `_` for a space, and without kohya's `k_` before them."""


_KARRAS = re.compile(r"[\s_-]+karras\s*$", re.IGNORECASE)


def has_karras(name: str) -> bool:
    """Whether a scheduler is to have the noise levels of Karras et al. (2022, arXiv 2206.00364):
    `DPM++ 2M Karras`."""
    return bool(_KARRAS.search(name))


def classes(name: str) -> Iterator[str]:
    """The classes that may be meant by `name`, with or without its usual beginning and end."""
    name = _KARRAS.sub("", name)
    name = _ELSEWHERE.get(name.lower().replace(" ", "_").removeprefix("k_"), name)
    return (f"{start}{name}{end}" for start in STARTS for end in ENDS)


def check_known(name: str, told: str) -> None:
    """Check that diffusers speaks of such a scheduler; importing it takes seconds.

    Args:
        name: of its class, with or without its usual beginning and end.
        told: where it was given, as a message names it.

    Raises:
        SettingsError: it does not.
    """
    known = names_in("diffusers", "schedulers", "__init__.py")
    if known and known.isdisjoint(classes(name)):
        source = names_in("diffusers", "schedulers", "scheduling_utils.py")
        usual = sorted(one.removesuffix(END) for one in known & source if one.endswith(END))
        raise SettingsError(
            f"{told}: diffusers has no scheduler {brief(name)}. Models such as Stable Diffusion "
            f"work with {', '.join(usual)}."
        )
