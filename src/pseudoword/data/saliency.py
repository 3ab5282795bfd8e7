"""Where the eye goes in a picture, roughly: for crops that keep the subject in the frame.

No face detector and no learned model: strong edges, and colours unlike those along the border,
which is mostly background. AUTOMATIC1111's focal crop weighs faces, edges and corners alike.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIDE_PX = 96


def saliency(picture: Image.Image) -> Tensor:
    """A map `[h, w]` of how much there is to see, in [0, 1], of a reduced copy of the picture."""
    small = picture.copy()
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    colours = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)
    border = torch.cat([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    odd = torch.cdist(colours.flatten(0, 1), border).quantile(0.1, dim=1).view(colours.shape[:2])
    edges = torch.zeros_like(odd)
    for axis in (0, 1):
        step = colours.diff(dim=axis).norm(dim=-1)
        pad = (0, 0, 0, 1) if axis == 0 else (0, 1)
        edges += torch.nn.functional.pad(step, pad)
    found = _to_one(odd) + _to_one(edges)
    return found / 2


def _to_one(values: Tensor) -> Tensor:
    return values / values.max().clamp(min=1e-6)
