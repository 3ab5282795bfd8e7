"""A GPU that is none: its tensors say that they are there, and have their numbers in main memory.

Everything runs as on a GPU: an operation with tensors of two devices fails, and what Python waits
for is counted. Only kernels, streams and CUDA graphs are not there. Run as a program,
`pretended_gpu.py KIND ...` tells what a tiny model of each kind does on it, as JSON: kind -> what
it does, or the text of its error.

To be used in a process of its own: it gives torch another kind of device for good.
"""

import json
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import tiny
import torch
from support import asked, train_state
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from pseudoword.example_files import EXAMPLE_PICTURES
from pseudoword.models import base_model
from pseudoword.models.compute import transfers
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.training import loop, loss
from pseudoword.training.batches import batch

NAME = "pretended"


class _Module:
    """What torch asks of a kind of device."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers: Mapping[str, Any] = {
            "is_available": True,
            "is_initialized": True,
            "device_count": 1,
            "current_device": 0,
            "get_amp_supported_dtype": [torch.bfloat16, torch.float16],
            "manual_seed_all": None,
            "empty_cache": None,
            "_is_in_bad_fork": False,
        }
        if name not in answers:
            raise AttributeError(name)
        return lambda *_: answers[name]


_setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
transfers.FROM_PINNED.add(NAME)

DEVICE = torch.device(f"{NAME}:0")
CPU = torch.device("cpu")

ops = torch.ops.aten
COPIES = {ops.copy_.default, ops._to_copy.default}
READS = {
    ops._local_scalar_dense.default: "a number is read",
    ops.nonzero.default: "what is not zero is counted",
    ops.equal.default: "tensors are compared",
}
INDEXED = {ops.index.Tensor, ops.index_put_.default, ops.index_put.default}
"""Operations that take indices from main memory, too, and wait for them."""

DOUBLE = {torch.float64, torch.complex128}
"""What Apple's GPUs do not have."""

_doubles: Counter[str] = Counter()
"""How many such tensors were made on the device, by the file that asked for them."""


class OnDevice(Tensor):
    """A tensor of the device; `numbers` are its numbers, in main memory."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> "OnDevice":
        if numbers.dtype in DOUBLE and not _is_in_backward():
            _doubles[_where()] += 1
        made = Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=DEVICE,
        )
        made.numbers = numbers
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operation: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _compute(operation, args, kwargs or {})


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """While open, counts for what Python waits, and in which file."""
    global _waits
    _waits = Counter()
    try:
        yield _waits
    finally:
        _waits = None


_waits: Counter[str] | None = None


def _waited(why: str) -> None:
    if _waits is not None:
        _waits[f"{_where()}: {why}"] += 1


def _where() -> str:
    """The file of the product, or else of a library, that asked for an operation."""
    passed = (str(Path(torch.__file__).parent), __file__)
    for frame, _ in traceback.walk_stack(None):
        if not frame.f_code.co_filename.startswith(passed):
            return "/".join(Path(frame.f_code.co_filename).parts[-2:])
    raise AssertionError


def _compute(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given: list[Tensor] = []
    _each_tensor((args, kwargs), given.append)
    here = [one for one in given if isinstance(one, OnDevice)]
    elsewhere = [one for one in given if not isinstance(one, OnDevice) and one.dim()]
    device = None if kwargs.get("device") is None else torch.device(kwargs["device"])
    if here and elsewhere and operation not in COPIES:
        if operation not in INDEXED:
            raise RuntimeError(f"{operation} was given tensors of two devices")
        _waited("an index comes from main memory")
    if operation in READS and here:
        _waited(READS[operation])
    if operation in INDEXED and any(one.dtype == torch.bool for one in here[1:]):
        _waited("a shape depends on numbers")
    if operation in COPIES:
        _count_copy(operation, args, kwargs, device)
    if device is not None:
        kwargs = {**kwargs, "device": CPU if device == DEVICE or device.type == NAME else device}
    if operation is ops._conj.default:  # a mark on a tensor, which another one would not have
        operation = ops._conj_physical.default
    plain_args, plain = _each_tensor((args, kwargs), _numbers)
    found = operation(*plain_args, **plain)
    name = operation._schema.name
    if name.endswith("_") and not name.endswith("__"):
        return args[0] if operation._schema.returns else None
    if device is not None and device.type != NAME:
        return found
    if device is None and not here:
        return found
    return _each_tensor(found, OnDevice)


PLAIN = {int, float, bool, type(None), torch.dtype, torch.device, torch.layout}
"""Most arguments are of these types."""


def _each_tensor(given: Any, change: Callable[[Tensor], Any]) -> Any:
    """Arguments or results with another thing for each tensor; torch's trees are slow."""
    if type(given) in PLAIN:
        return given
    if isinstance(given, Tensor):
        return change(given)
    if isinstance(given, (list, tuple)):
        return type(given)([_each_tensor(one, change) for one in given])
    if isinstance(given, dict):
        return {key: _each_tensor(one, change) for key, one in given.items()}
    return given


def _numbers(of: Tensor) -> Tensor:
    return of.numbers if isinstance(of, OnDevice) else of


def _count_copy(operation: Any, args: Any, kwargs: Any, device: torch.device | None) -> None:
    if operation is ops.copy_.default:
        to, source = args[:2]
        moves = isinstance(to, OnDevice) != isinstance(source, OnDevice)
        later = len(args) > 2 and args[2]
    else:
        (source,) = args
        moves = device is not None and isinstance(source, OnDevice) != (device.type == NAME)
        later = kwargs.get("non_blocking", False)
    if moves and source.numel() and not (later and getattr(source, "is_pinned_here", False)):
        _waited("numbers go from one memory to the other")


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(
        self, operation: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _compute(operation, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What torch does in C++ without asking an operation, which here there is none for."""

    def __torch_function__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if function == torch.tensor:
            args = _each_tensor(args, _read)
        if function in (torch.tensor, torch.as_tensor) and _is_device(given.get("device")):
            device = given.pop("device")
            return function(*args, **given).to(device)
        if function == Tensor.tolist and isinstance(args[0], OnDevice):
            _waited("numbers are read")
            numbers: Any = args[0].detach()
            return numbers.numbers.tolist()
        if function == Tensor.pin_memory:
            pinned = args[0].clone()
            pinned.is_pinned_here = True
            return pinned
        if function in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], OnDevice):
            args = (args[0], _indices(args[1]), *args[2:])
            if function is Tensor.__setitem__ and not isinstance(args[2], Tensor):
                value = torch.tensor(args[2], dtype=args[0].dtype)
                return args[0][args[1]].copy_(value.to(DEVICE))
        if function == Tensor.data.__set__:  # type: ignore[attr-defined]
            return _set_data(*args)
        return function(*args, **given)


def _read(of: Tensor) -> Tensor:
    if isinstance(of, OnDevice):
        _waited("numbers are read")
    return _numbers(of)


def _is_in_backward() -> bool:
    """Whether autograd asks; it takes the types that the forward pass had."""
    return bool(torch._C._current_graph_task_id() != -1)


def _is_device(named: Any) -> bool:
    return named is not None and torch.device(named).type == NAME


def _indices(key: Any) -> Any:
    """A key whose lists are tensors of the device."""
    if isinstance(key, tuple):
        return tuple(map(_indices, key))
    return torch.as_tensor(key).to(DEVICE) if isinstance(key, list) else key


def _set_data(of: Tensor, numbers: Tensor) -> None:
    """Give a tensor other numbers, of another device too."""
    if isinstance(of, torch.nn.Parameter):
        numbers = torch.nn.Parameter(numbers, of.requires_grad)
    torch.utils.swap_tensors(of, numbers)


def _gradient(family: Family, denoise: Callable[..., Tensor] | None = None) -> Tensor:
    """Of the rows of a word, end to end; on the CPU."""
    one = train_state(family, EXAMPLE_PICTURES, batch=2)
    lost = loss.losses(family, [asked(one)], batch(family, [one.data], 0), denoise)
    lost.sum().backward()
    found = [given.grad for given in one.method.parameters()]
    return torch.cat([grad.flatten().cpu() for grad in found if grad is not None])


def _report(base: str) -> dict[str, Any]:
    """How far a gradient is from that of the CPU, and what is waited for."""
    on_cpu = _gradient(base_model.load_named(base, "cpu", "float32"))
    _doubles.clear()
    dispatch: Any = _Dispatch()  # type: ignore[no-untyped-call]
    with dispatch, _Functions(), torch.autograd.set_multithreading_enabled(False):
        family = base_model.load_named(base, NAME, "float32")
        predicting: Counter[str] = Counter()

        def denoise(*inputs: Any) -> Tensor:
            with counting() as waits:
                predicted = family.predict(*inputs)
            predicting.update(waits)
            return predicted

        found = _gradient(family, denoise)
        state = train_state(
            family, EXAMPLE_PICTURES, batch=2, steps=9, timestep_sampling="stratified"
        )
        steps = loop.train(family, [state])
        next(steps)
        with counting() as waits:
            list(islice(steps, 2))
        generate(family, ["a cat"], [], seeds=[0], sampler_steps=2)
    off = float((found - on_cpu).norm() / on_cpu.norm())
    return {
        "graphable": family.graphable,
        "off": off,
        "predicting": predicting,
        "in 2 steps": waits,
        "doubles": dict(_doubles),
    }


def _reports(kinds: Iterable[str]) -> Iterator[tuple[str, dict[str, Any] | str]]:
    for kind in kinds:
        with tempfile.TemporaryDirectory() as made:
            try:
                yield kind, _report(str(tiny.BASES[kind](Path(made))))
            except Exception:
                yield kind, traceback.format_exc()


if __name__ == "__main__":
    print(json.dumps(dict(_reports(sys.argv[1:]))))
