"""How much memory tensors take at most while something runs, found out on the meta device.

Meta tensors have shapes but no numbers, so a model of any size runs in no time and space, backward
pass and all; what would be alive at each moment is counted.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _LiveBytes(TorchDispatchMode):
    """While open, counts the bytes of every tensor made, until it is let go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nbytes = 0
        self.peak_nbytes = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation, and count storages that are new."""
        made = func(*args, **(kwargs or {}))
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if _counts(t)}
        for tensor in tree_leaves(made):
            if _counts(tensor) and id(tensor.untyped_storage()) not in given:
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: Any) -> None:
        key, nbytes = id(storage), storage.nbytes()
        if key in self._known:
            return

        def free(_: Any) -> None:
            self.nbytes -= nbytes
            del self._known[key]

        self._known[key] = weakref.ref(storage, free)
        self.nbytes += nbytes
        self.peak_nbytes = max(self.peak_nbytes, self.nbytes)


def _counts(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "meta"


def _fused_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,  # noqa: ARG001 (torch's name; all heads are equal here)
) -> Any:
    """Attention that keeps no matrix of scores: as it runs on every device but this one."""
    run = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return run(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]


@contextmanager
def count_peak() -> Iterator[Callable[[], int]]:
    """While open, count; the function given tells the largest number of bytes alive so far."""
    live = _LiveBytes()
    # A mode for torch functions would not reach what checkpointing computes again.
    with mock.patch("torch.nn.functional.scaled_dot_product_attention", _fused_attention), live:
        yield lambda: live.peak_nbytes


def nbytes(module: torch.nn.Module) -> int:
    """What the weights of `module` take."""
    return sum(p.numel() * p.element_size() for p in module.parameters())
