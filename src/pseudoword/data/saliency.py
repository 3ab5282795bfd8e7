"""A rough map of where the subject is, so that focal crops keep it in view.

It uses no face detector and no learned model, only strong edges and colours that are rare along the
border, since the border mostly shows background. AUTOMATIC1111's focal crop weighs faces, edges and
corners instead.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIDE_PX = 96


def saliency(picture: Image.Image) -> Tensor:
    """The saliency of a reduced copy of the picture, `[h, w]` in [0, 1]."""
    small = picture.copy()
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    colours = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)
    border = torch.cat([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    distances = torch.cdist(colours.flatten(0, 1), border)
    unlike_border = distances.quantile(0.1, dim=1).view(colours.shape[:2])
    edges = torch.zeros_like(unlike_border)
    for axis in (0, 1):
        step = colours.diff(dim=axis).norm(dim=-1)
        padding = (0, 0, 0, 1) if axis == 0 else (0, 1)
        edges += torch.nn.functional.pad(step, padding)
    return (_normalised(unlike_border) + _normalised(edges)) / 2


def _normalised(values: Tensor) -> Tensor:
    """The values divided by their maximum."""
    return values / values.max().clamp(min=1e-6)
