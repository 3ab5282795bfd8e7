"""Peak memory of a computation, counted on the meta device.

Meta tensors have shapes but no numbers, so a model of any size runs in no time and no memory, also
its backward pass. The bytes of all tensors that would be alive are counted at each moment.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pseudoword.process_wide import ProcessWide

_NOTHING = object()

_NO_NEW = object()
"""What operations make that give views, or what they were given: no new tensor."""

MOST_KNOWN = 1 << 16
"""So many results are kept."""

_known: dict[Any, Any] = {}
"""An operation and all it was given -> size, stride and dtype of the new tensors that it made.

torch takes half a millisecond to find them, and the blocks of a model do the same again and again.
"""


class _Several(tuple[Any, ...]):
    """Of the tensors of a tuple."""


class _LiveBytes(TorchDispatchMode):
    """While active, counts the bytes of each new tensor until it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nbytes = 0
        self.peak_nbytes = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation, and count the storages that it allocates."""
        call = _call(func, args, kwargs)
        known = _known.get(call, _NOTHING)
        if known is _NO_NEW:
            return func(*args, **(kwargs or {}))
        if known is not _NOTHING:
            return self._made(known)
        result = func(*args, **(kwargs or {}))
        inputs = {id(tensor.untyped_storage()) for tensor in _meta_tensors((args, kwargs))}
        made = [
            tensor for tensor in _meta_tensors(result) if id(tensor.untyped_storage()) not in inputs
        ]
        for tensor in made:
            self._add(tensor.untyped_storage())
        if call is not None:
            _remember(call, result, made)
        return result

    def _made(self, known: Any) -> Any:
        """New tensors as an operation made them before."""
        if isinstance(known, _Several):
            return tuple(map(self._made, known))
        if known is None:
            return None
        tensor = _empty(*known)
        self._add(tensor.untyped_storage())
        return tensor

    def _add(self, storage: Any) -> None:
        key, nbytes = id(storage), storage.nbytes()
        if key in self._alive:
            return

        def free(_: Any) -> None:
            self.nbytes -= nbytes
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, free)
        self.nbytes += nbytes
        self.peak_nbytes = max(self.peak_nbytes, self.nbytes)


def _call(*parts: Any) -> Any:
    """A key for an operation on meta tensors and what it is given; None if there is none."""
    try:
        key = _key(parts)
        hash(key)
    except TypeError:
        return None
    return key


def _key(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if not value.is_meta:
            raise TypeError("it has numbers")
        return value.shape, value.stride(), value.dtype
    if isinstance(value, list | tuple):
        return tuple(map(_key, value))
    if isinstance(value, dict):
        return tuple((name, _key(one)) for name, one in value.items())
    return type(value), value  # True, 1 and 1.0 are equal


def _remember(call: Any, result: Any, made: Sequence[torch.Tensor]) -> None:
    """Keep what an operation gives, if it is new tensors alone, or none."""
    parts = result if isinstance(result, tuple) else (result,)
    if sum(part is not None for part in parts) != len(made):
        if not made:
            _keep(call, _NO_NEW)
        return
    described = [None if one is None else (one.shape, one.stride(), one.dtype) for one in parts]
    for tensor in made:
        same = _empty(tensor.shape, tensor.stride(), tensor.dtype)
        if same.untyped_storage().nbytes() != tensor.untyped_storage().nbytes():
            return
    _keep(call, _Several(described) if isinstance(result, tuple) else described[0])


def _keep(call: Any, known: Any) -> None:
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[call] = known


def _empty(size: Any, stride: Any, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty_strided(size, stride, dtype=dtype, device="meta")


def _is_meta(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_meta


def _meta_tensors(given: Any) -> list[torch.Tensor]:
    """Those without numbers in arguments or results; torch's trees are slow."""
    if isinstance(given, list | tuple):
        return [tensor for one in given for tensor in _meta_tensors(one)]
    if isinstance(given, dict):
        return _meta_tensors(tuple(given.values()))
    return [given] if _is_meta(given) else []


_attention = torch.nn.functional.scaled_dot_product_attention


def _fused_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Attention without a matrix of scores, as on real devices; meta would use the plain form.

    Tensors with numbers are those of another thread, which draws meanwhile: they are left to torch.
    """
    if not _is_meta(query):
        return _attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        # torch makes numbers of it that are added to the scores, in each call, and keeps them
        attn_mask = query.new_empty(attn_mask.shape)
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return attention(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]


# A TorchFunctionMode would miss what checkpointing computes again.
_with_fused_attention = ProcessWide(
    lambda: mock.patch("torch.nn.functional.scaled_dot_product_attention", _fused_attention)
)


@contextmanager
def count_peak() -> Iterator[Callable[[], int]]:
    """While open, count bytes; the function that it yields returns the peak so far."""
    live = _LiveBytes()
    with _with_fused_attention, live:
        yield lambda: live.peak_nbytes


def nbytes(module: torch.nn.Module) -> int:
    """Bytes of the weights of `module`, and of its tables that are none, such as positions."""
    return sum(one.nbytes for one in (*module.parameters(), *module.buffers()))
