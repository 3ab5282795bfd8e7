"""How a picture was drawn, as the text that AUTOMATIC1111's "PNG info" reads from a PNG.

The prompt, then `Negative prompt: …`, then one line of `Name: value` pairs; values that hold a
comma or a colon are JSON strings.
"""

import json
from collections.abc import Mapping

from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

KEYWORD = "parameters"
"""The PNG text chunk it stands in."""

SAMPLERS: Mapping[str, str] = {
    "DDIMScheduler": "DDIM",
    "PNDMScheduler": "PLMS",
    "EulerDiscreteScheduler": "Euler",
    "EulerAncestralDiscreteScheduler": "Euler a",
    "HeunDiscreteScheduler": "Heun",
    "LMSDiscreteScheduler": "LMS",
    "KDPM2DiscreteScheduler": "DPM2",
    "KDPM2AncestralDiscreteScheduler": "DPM2 a",
    "DPMSolverMultistepScheduler": "DPM++ 2M",
    "DPMSolverSDEScheduler": "DPM++ SDE",
    "UniPCMultistepScheduler": "UniPC",
    "LCMScheduler": "LCM",
}
"""diffusers' scheduler -> what AUTOMATIC1111 calls that sampler."""


def infotext(prompt: str, negative: str, values: Mapping[str, object]) -> str:
    """The text for one picture; `values` in the order they are written."""
    pairs = ", ".join(f"{name}: {_quoted(str(value))}" for name, value in values.items())
    lines = [prompt, *([f"Negative prompt: {negative}"] if negative else []), pairs]
    return "\n".join(lines)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(c in value for c in ",:\n") else value


def png_text(picture: Image) -> PngInfo:
    """The text chunks of `picture`: how it was drawn, if it is known."""
    chunks = PngInfo()
    if KEYWORD in picture.info:
        text = picture.info[KEYWORD].encode("utf-8", "backslashreplace").decode()
        chunks.add_text(KEYWORD, text)
    return chunks
