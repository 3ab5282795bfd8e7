"""Peak memory of a computation, counted on the meta device.

Meta tensors have shapes but no numbers, so a model of any size runs in no time and no memory, also
its backward pass. The bytes of all tensors that would be alive are counted at each moment.
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
    """While active, counts the bytes of each new tensor until it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nbytes = 0
        self.peak_nbytes = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation, and count the storages that it allocates."""
        result = func(*args, **(kwargs or {}))
        inputs = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if _is_meta(t)}
        for tensor in tree_leaves(result):
            if _is_meta(tensor) and id(tensor.untyped_storage()) not in inputs:
                self._add(tensor.untyped_storage())
        return result

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


def _is_meta(value: Any) -> bool:
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
    """Attention without a matrix of scores, as on real devices; meta would use the plain form."""
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return attention(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]


@contextmanager
def count_peak() -> Iterator[Callable[[], int]]:
    """While open, count bytes; the function that it yields returns the peak so far."""
    live = _LiveBytes()
    # A TorchFunctionMode would miss what checkpointing computes again.
    with mock.patch("torch.nn.functional.scaled_dot_product_attention", _fused_attention), live:
        yield lambda: live.peak_nbytes


def nbytes(module: torch.nn.Module) -> int:
    """Bytes of the weights of `module`, and of its tables that are none, such as positions."""
    return sum(
        one.numel() * one.element_size() for one in (*module.parameters(), *module.buffers())
    )
