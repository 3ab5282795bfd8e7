"""A frozen model in 8 or 4 bits, through bitsandbytes. Gradients still pass through its layers.

8 bits: LLM.int8() (Dettmers et al. 2022). 4 bits: NF4 of QLoRA (Dettmers et al. 2023). Only linear
layers are stored so, everything else keeps its precision.
"""

from typing import Any, TypeGuard

from torch import nn

from pseudoword.config import Quantize
from pseudoword.errors import BaseModelError


def quantize(model: nn.Module, how: Quantize) -> nn.Module:
    """`model` with its linear layers in `how`; they are packed when it moves to its device.

    Raises:
        BaseModelError: bitsandbytes is not installed.
    """
    if how == "none":
        return model
    try:
        import bitsandbytes.nn as bnb
    except ImportError as error:
        raise BaseModelError(
            f"--quantize {how} needs bitsandbytes: pip install 'pseudoword[quantize]'"
        ) from error
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if packable(layer):
                setattr(parent, name, _packed(bnb, layer, how))
    return model


def packable(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a layer is stored in fewer bits: those of odd sizes are not, and are small."""
    if type(layer) is not nn.Linear:
        return False
    return layer.in_features % 64 == 0 and layer.out_features % 32 == 0


def _packed(bnb: Any, layer: nn.Linear, how: Quantize) -> Any:
    shape = (layer.in_features, layer.out_features, layer.bias is not None)
    weight = layer.weight.data
    if how == "4bit":
        made = bnb.Linear4bit(*shape, compute_dtype=weight.dtype, quant_type="nf4", device="meta")
        made.weight = bnb.Params4bit(weight, requires_grad=False, quant_type="nf4", module=made)
        # On some CPUs it would pack itself anew when used without a gradient, and pass none then.
        made.support_avx512bf16_for_cpu = False
    else:
        made = bnb.Linear8bitLt(*shape, has_fp16_weights=False, device="meta")
        made.weight = bnb.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    made.bias = layer.bias
    return made
