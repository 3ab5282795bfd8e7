"""Schedulers of diffusers by name."""

import re
from collections.abc import Iterator, Mapping

from pseudoword.config.installed import names_in
from pseudoword.errors import SettingsError
from pseudoword.text import brief

STARTS, END = ("", "FlowMatch"), "Scheduler"
ENDS = ("", END, f"Discrete{END}")
"""Beginnings and ends of diffusers' names of schedulers, which nobody has to write."""

SAMPLERS: Mapping[str, str] = {
    "DDIM": "DDIM",
    "PLMS": "PNDM",
    "Euler": "EulerDiscrete",
    "Euler a": "EulerAncestralDiscrete",
    "Heun": "HeunDiscrete",
    "LMS": "LMSDiscrete",
    "DPM2": "KDPM2Discrete",
    "DPM2 a": "KDPM2AncestralDiscrete",
    "DPM++ 2M": "DPMSolverMultistep",
    "DPM++ SDE": "DPMSolverSDE",
    "UniPC": "UniPCMultistep",
    "LCM": "LCM",
}
"""AUTOMATIC1111's name of a sampler -> diffusers' of the scheduler, without beginning and end."""

_KARRAS = re.compile(r"[\s_-]+karras\s*$", re.IGNORECASE)


def _folded(name: str) -> str:
    """`name` as names of other tools are compared: kohya's scripts write `k_euler_a`."""
    return name.lower().replace(" ", "_").removeprefix("k_")


_ELSEWHERE = {_folded(theirs): ours for theirs, ours in SAMPLERS.items()} | {
    "ddpm": "DDPM",
    "pndm": "PNDM",
    "dpm_2": "KDPM2Discrete",
    "dpm_2_a": "KDPM2AncestralDiscrete",
    "dpmsolver++": "DPMSolverMultistep",
    "dpmpp": "DPMSolverMultistep",
    "dpmsingle": "DPMSolverSinglestep",
}
"""Names in AUTOMATIC1111, kohya's scripts and OneTrainer -> diffusers'."""


def has_karras(name: str) -> bool:
    """Whether a scheduler is to have the noise levels of Karras et al. (2022, arXiv 2206.00364):
    `DPM++ 2M Karras`."""
    return bool(_KARRAS.search(name))


def by_usual_name(name: str) -> str:
    """diffusers' name of what other tools call `Euler a` or `DPM++ 2M Karras`; else `name`."""
    plain = _KARRAS.sub("", name)
    return _ELSEWHERE.get(_folded(plain), plain) + name[len(plain) :]


def sampler_name(kind: str) -> str:
    """AUTOMATIC1111's name for the scheduler of this class, or else diffusers' without its end."""
    name = kind.removesuffix(END)
    bare = name.removeprefix("FlowMatch")
    return next((theirs for theirs, ours in SAMPLERS.items() if ours == bare), name)


def classes(name: str) -> Iterator[str]:
    """The classes that may be meant by `name`, with or without its usual beginning and end."""
    name = _KARRAS.sub("", by_usual_name(name))
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
