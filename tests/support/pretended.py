"""A pretended device: what a GPU would copy, wait for and refuse, found out on a CPU.

A tensor on it holds its numbers on the CPU and says that it is on `DEVICE`. All that depends on
numbers runs, and results are the CPU's. Tensors of two devices in one operation raise, as on CUDA.
Copies and waits are noted within `copies`, in the thread that entered it. What this cannot tell is
what a GPU's own kernels make of a number type, and how long anything takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from segment_anywhere.core.engines.base import Encoder
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from tests.support.traffic import Event, Kind, Traffic, line_of_pack

DEVICE = torch.device("meta")
"""The only device beside the CPU that every build of PyTorch knows."""

_ops = torch.ops.aten
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_COPIES = (_ops._to_copy, _ops.copy_)
_INDEXED_WRITES = (_ops.index_put, _ops.index_put_)
# What takes a number from the host, beside the operations on one number after the other.
_FILLS = (*_INDEXED_WRITES, _ops.masked_fill, _ops.masked_fill_, _ops.fill, _ops.fill_)
_WAITS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
Placed = TypeVar("Placed", bound=Encoder | nn.Module)


@dataclass(frozen=True)
class Rules:
    """What a kind of device refuses. title: what it is called. dtypes: of which it has no tensors.
    operations: PyTorch's names of those that it has not."""

    title: str
    dtypes: frozenset[torch.dtype] = frozenset()
    operations: frozenset[str] = frozenset()


_DOUBLE = frozenset({torch.float64, torch.complex128})
MPS = Rules(
    "MPS",
    _DOUBLE,
    # Newer releases of PyTorch have the first two.
    frozenset(
        {
            "aten::_upsample_bilinear2d_aa",
            "aten::_upsample_bicubic2d_aa",
            "aten::_linalg_svd",
            "aten::_linalg_eigh",
            "aten::_fft_r2c",
            "aten::grid_sampler_3d",
            "aten::upsample_trilinear3d",
            "aten::linalg_lstsq",
        }
    ),
)
"""Apple's: no numbers of 64 bits, and not every operation."""
XPU = Rules("XPU", _DOUBLE)
"""Intel's graphics cards, of which the common ones have no numbers of 64 bits."""
ANY = Rules("any")
"""A device that refuses nothing of its own."""


@contextmanager
def copies(rules: Rules = ANY) -> Iterator[Traffic]:
    """Within its block, which is in inference mode as all of ComfyUI, the device can be used, and
    what goes to it and back is noted."""
    device = _Device(rules)
    with torch.inference_mode(), _PythonNumbers(), device:
        yield device.traffic


def placed(engine: Placed) -> Placed:
    """Move an engine's weights, or a module, to the device, and return what was given."""
    module = engine if isinstance(engine, nn.Module) else engine.module
    if module is None:
        raise ValueError("an engine without weights has no place")
    with copies():
        module.to(DEVICE)
    return engine


class Pretended(Tensor):
    """A tensor on the device. held: its numbers, on the CPU."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> Pretended:
        # Of what else was made in inference mode it could not be a view.
        with torch.inference_mode():
            made = Tensor._make_wrapper_subclass(
                cls,
                held.size(),
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=DEVICE,
            )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Outside of `copies`, where nothing is noted.
        with _Device():
            return func(*args, **(kwargs or {}))

    def tolist(self) -> Any:
        """PyTorch's own refuses subclasses."""
        return self.cpu().tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Pretended({self.held})"


class _PythonNumbers(TorchFunctionMode):
    """Makes tensors of Python's numbers, which PyTorch itself would not keep on this device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor):
            device = kwargs.pop("device", None)
            made = func(*args, **kwargs)
            return made if device is None else made.to(device)
        if func is Tensor.new_tensor:
            own, data = args
            made = torch.tensor(data, dtype=kwargs.get("dtype") or own.dtype)
            return made.to(kwargs.get("device") or own.device)
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            args = (args[0], _without_lists(args[1]), *args[2:])
        return func(*args, **kwargs)


def _without_lists(index: Any) -> Any:
    """An index in which lists are tensors on the host."""
    if isinstance(index, tuple):
        return tuple(_without_lists(part) for part in index)
    if isinstance(index, list):
        return torch.tensor(index, dtype=None if index else torch.int64)
    return index


class _Device(TorchDispatchMode):
    """Runs operations on the numbers that the device's tensors hold, and notes the traffic."""

    def __init__(self, rules: Rules = ANY) -> None:
        super().__init__()
        self.traffic = Traffic()
        self._rules = rules

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = _Call(func, args, kwargs or {})
        if not call.is_whole:
            # In inference mode PyTorch does not take apart what consists of other operations.
            with self:
                result = func.decompose(*args, **call.kwargs)
            if result is not NotImplemented:
                return result
        if not call.is_on_device and not call.ours:
            return func(*args, **call.kwargs)
        call.check_devices()
        result = call.run()
        call.check_rules(result, self._rules)
        self.traffic.events += call.events(result)
        return result


@dataclass(frozen=True)
class _Call:
    """An operation of PyTorch with its arguments, of which the first owns what is done."""

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def name(self) -> Any:
        """The operation, whichever of its signatures is called."""
        return self.func.overloadpacket

    @property
    def is_whole(self) -> bool:
        """Whether it runs as one: PyTorch would take parts for it that are not the CPU's."""
        is_replaced = _COMPOSITE in self.func.py_kernels
        return is_replaced or self.name is _ops.scaled_dot_product_attention

    @cached_property
    def tensors(self) -> list[Tensor]:
        return [each for each in tree_leaves((self.args, self.kwargs)) if isinstance(each, Tensor)]

    @cached_property
    def ours(self) -> list[Pretended]:
        """The tensors on the device."""
        return [each for each in self.tensors if isinstance(each, Pretended)]

    @cached_property
    def is_on_device(self) -> bool:
        """Whether the result is."""
        device = self.kwargs.get("device")
        if device is not None:
            return device.type == DEVICE.type
        return bool(self.ours) if self.name is not _ops.copy_ else _is_ours(self.args[0])

    @cached_property
    def places(self) -> list[Tensor]:
        """The tensors that the first one is indexed by."""
        is_indexed = self.name in (_ops.index, *_INDEXED_WRITES)
        return [each for each in self.args[1] if each is not None] if is_indexed else []

    def check_devices(self) -> None:
        """Raise RuntimeError for tensors of two devices, where CUDA does."""
        host = [each for each in self.tensors if not _is_ours(each)]
        if any(each.is_meta for each in host):
            raise RuntimeError(f"{self.func}: a tensor was made on {DEVICE} outside of `copies`")
        if not host or not self.ours or self.name in _COPIES:
            return
        takes_numbers = self.name in _FILLS or torch.Tag.pointwise in self.func.tags
        allowed = {id(each) for each in host if takes_numbers and not each.dim()}
        allowed |= {id(each) for each in self.places}
        if self.places or self.func._schema.name.endswith("_"):
            # What is read by index or written to is where the work is done.
            allowed.discard(id(self.args[0]))
        if not allowed.issuperset(map(id, host)):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{DEVICE} and cpu! {self.func} at {line_of_pack()}"
            )

    def check_rules(self, result: Any, rules: Rules) -> None:
        """Raise what PyTorch does for operations and number types that a device has not."""
        if not self.is_on_device:
            return
        if self.func._schema.name in rules.operations:
            raise NotImplementedError(
                f"The operator '{self.func._schema.name}' is not currently implemented for the "
                f"{rules.title} device. At {line_of_pack()}"
            )
        made = [each for each in tree_leaves(result) if _is_ours(each)]
        for dtype in {each.dtype for each in made} & rules.dtypes:
            raise TypeError(f"Cannot convert a {rules.title} Tensor to {dtype}: {line_of_pack()}")

    def run(self) -> Any:
        """Do it on the CPU; of the result, say what is on the device."""
        known = {id(_held(each)): each for each in self.tensors}

        def shown(result: Any) -> Any:
            if not isinstance(result, Tensor) or id(result) in known:
                return known.get(id(result), result)
            return Pretended(result) if self.is_on_device else result

        args, kwargs = tree_map(_held, (self.args, self.kwargs))
        return tree_map(shown, self.func(*args, **kwargs))

    def events(self, result: Any) -> Iterator[Event]:
        """What a device would have to copy and to wait for."""
        if self.name in _COPIES:
            source = self.args[0] if self.name is _ops._to_copy else self.args[1]
            if _is_ours(source) and not self.is_on_device:
                yield self._event(Kind.D2H, source.nbytes)
            elif self.is_on_device and not _is_ours(source):
                yield self._event(Kind.H2D, result.nbytes)
        for each in self.places:
            if not _is_ours(each):
                yield self._event(Kind.H2D, each.nbytes)
        if self._waits():
            yield self._event(Kind.SYNC, 0)

    def _waits(self) -> bool:
        """Whether the host needs a number of the device's before it can go on."""
        if not self.places:
            return bool(_WAITS.intersection(self.func.tags))
        has_mask = any(each.dtype in (torch.bool, torch.uint8) for each in self.places)
        # To write a single number nobody has to know how many places a mask has.
        return has_mask and (self.name is _ops.index or self.args[2].numel() > 1)

    def _event(self, kind: Kind, nbytes: int) -> Event:
        return Event(kind, nbytes, str(self.func), line_of_pack())


def _is_ours(value: Any) -> bool:
    return isinstance(value, Pretended)


def _held(value: Any) -> Any:
    """What an operation on the CPU takes in place of an argument."""
    if isinstance(value, torch.device) and value.type == DEVICE.type:
        return torch.device("cpu")
    return value.held if isinstance(value, Pretended) else value
