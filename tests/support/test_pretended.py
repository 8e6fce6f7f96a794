"""The pretended device: its numbers are right; it refuses what a GPU does, and counts the rest."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.engines.image_model import Statistics
from segment_anywhere.core.results.compact_mask import compact
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from tests.support.engines import engine_of
from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference
from tests.support.pretended import DEVICE, Pretended, copies, placed
from tests.support.traffic import Counts, Kind

HOST = torch.tensor([[3.0, -1.0, 2.0], [0.5, -4.0, 8.0]])
MASK = HOST > 0
PLACES = torch.tensor([1, 0])
FRAME = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))


def _write(x: Tensor, where: object, value: object) -> Tensor:
    x = x.clone()
    x[where] = value
    return x


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        # What stays on the device.
        (lambda x: x @ x.T + 1, Counts()),
        (lambda x: torch.zeros(2, device=x.device) + torch.arange(2, device=x.device), Counts()),
        (lambda x: x[:, None].expand(-1, 2, -1).reshape(4, 3), Counts()),
        (lambda x: x * torch.tensor(2.0), Counts()),
        (lambda x: x.masked_fill(x > 0, torch.tensor(7.0)), Counts()),
        (lambda x: _write(x, x > 0, 7.0), Counts()),
        (lambda x: _write(x, (slice(None), 0), 7.0), Counts()),
        (lambda x: x.clone().add_(x), Counts()),
        (lambda x: nn.functional.interpolate(x[None], 7, mode="linear"), Counts()),
        # What goes to it.
        (lambda x: HOST.to(x.device), Counts(h2d=1, h2d_bytes=24)),
        (lambda x: HOST.to(x.device, torch.float16), Counts(h2d=1, h2d_bytes=12)),
        (lambda x: x.clone().copy_(HOST), Counts(h2d=1, h2d_bytes=24)),
        (lambda x: torch.tensor([1.0, 2.0], device=x.device), Counts(h2d=1, h2d_bytes=8)),
        (lambda x: torch.as_tensor([1, 2], device=x.device), Counts(h2d=1, h2d_bytes=16)),
        (lambda x: x.new_tensor([1, 2]), Counts(h2d=1, h2d_bytes=8)),
        (lambda x: x[PLACES], Counts(h2d=1, h2d_bytes=16)),
        (lambda x: x[[1, 0]], Counts(h2d=1, h2d_bytes=16)),
        (lambda x: x[[]], Counts(h2d=1)),
        # What comes back.
        (lambda x: x.cpu(), Counts(d2h=1, d2h_bytes=24)),
        (lambda x: x.to("cpu", torch.float64), Counts(d2h=1, d2h_bytes=24)),
        (lambda x: HOST.clone().copy_(x), Counts(d2h=1, d2h_bytes=24)),
        (lambda x: x[0].tolist(), Counts(d2h=1, d2h_bytes=12)),
        # What is waited for.
        (lambda x: float(x[0, 1]), Counts(syncs=1)),
        (lambda x: x.max().item(), Counts(syncs=1)),
        (lambda x: bool((x > 0).all()), Counts(syncs=1)),
        (lambda x: x.nonzero(), Counts(syncs=1)),
        (lambda x: x.equal(x), Counts(syncs=1)),
        (lambda x: x[x > 0], Counts(syncs=1)),
        (lambda x: torch.where(x > 0), Counts(syncs=1)),
        (lambda x: _write(x, x > 0, x[0, [0, 2]].repeat(2)), Counts(1, 16, syncs=1)),
        (lambda x: x[MASK], Counts(1, 6, syncs=1)),
        (lambda x: [float(row.sum()) for row in x], Counts(syncs=2)),
    ],
)
def test_what_is_counted(work, expected):
    """And whatever is done, its result is the CPU's."""
    ours = Pretended(HOST.clone())
    with copies() as seen:
        result = work(ours)
    assert seen.counts == expected, str(seen)
    on_host = tree_map_only(Tensor, Tensor.cpu, result)
    torch.testing.assert_close(on_host, work(HOST.clone()), atol=0, rtol=0)


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x + HOST,
        lambda x: HOST * x,
        lambda x: x @ HOST.T,
        lambda x: torch.cat([x, HOST]),
        lambda x: torch.stack([x[0], HOST[0]]),
        lambda x: torch.where(x > 0, x, HOST),
        lambda x: x.masked_fill(MASK, 0.0),
        lambda x: x.clone().add_(HOST),
        # A number from the host is taken, a number on the host cannot be added to.
        lambda x: torch.tensor(0.0).add_(x.sum()),
        lambda x: torch.cat([x.sum()[None], torch.tensor([1.0])]),
        lambda x: HOST[x.long().clamp(0, 1)[0]],
        lambda x: _write(x, x > 0, HOST[0, [0, 1, 2, 2]]),
        lambda x: nn.functional.linear(x, HOST),
        lambda x: nn.functional.embedding(PLACES, x),
        lambda x: nn.functional.scaled_dot_product_attention(x[None], HOST[None], x[None]),
    ],
)
def test_what_is_refused(work):
    """As CUDA does, with the same words."""
    with copies(), pytest.raises(RuntimeError, match="Expected all tensors to be on the same devi"):
        work(Pretended(HOST.clone()))
    work(HOST.clone())


def test_a_tensor_without_numbers_is_refused():
    empty = torch.zeros(2, 3, device=DEVICE)
    with copies(), pytest.raises(RuntimeError, match="made on meta outside of `copies`"):
        Pretended(HOST) + empty


def test_numpy_is_refused():
    with copies(), pytest.raises((RuntimeError, TypeError)):
        Pretended(HOST).numpy()


def test_a_write_is_seen_through_every_view():
    ours = Pretended(HOST.clone())
    with copies() as seen:
        row = ours[0]
        row[1:] = 5.0
        row.mul_(2.0)
    assert row.device == DEVICE
    assert ours.tolist() == [[6.0, 10.0, 10.0], [0.5, -4.0, 8.0]]
    assert seen.counts == Counts()


def test_it_is_on_no_cpu():
    ours = Pretended(HOST)
    assert ours.device == DEVICE and not ours.is_cpu
    assert (ours.shape, ours.dtype, ours.stride()) == (HOST.shape, HOST.dtype, HOST.stride())


def test_a_module_is_placed_whole():
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval()
    expected = module(HOST)
    assert placed(module) is module
    assert {each.device for each in module.state_dict().values()} == {DEVICE}
    with copies() as seen:
        result = module(HOST.to(DEVICE))
    assert torch.equal(result.cpu(), expected)
    assert seen.counts == Counts(h2d=1, h2d_bytes=24)


def test_an_engine_without_weights_has_no_place():
    with pytest.raises(ValueError, match="has no place"):
        placed(engine_of("grabcut"))


def test_the_line_of_the_pack_is_named():
    with copies() as seen:
        compact(Pretended(MASK))
        Pretended(MASK).cpu()
    inside, outside = seen.events
    assert (inside.kind, inside.nbytes, inside.op) == (Kind.D2H, 6, "aten._to_copy.default")
    assert inside.where.startswith("core/results/compact_mask.py:")
    assert outside.where == "a test"
    assert str(seen).startswith("   1 x 6 bytes copied to the host: aten._to_copy.default at core/")


@pytest.mark.parametrize(
    ("counts", "is_within"),
    [
        (Counts(1, 2, 3, 4, 5), True),
        (Counts(), True),
        (Counts(2, 2, 3, 4, 5), False),
        (Counts(1, 2, 3, 4, 6), False),
    ],
)
def test_at_most(counts, is_within):
    assert (counts <= Counts(1, 2, 3, 4, 5)) is is_within


def test_a_mean_that_is_left_on_the_host_is_found(monkeypatch):
    def normalise(self: Statistics, image: Tensor) -> Tensor:
        return image - torch.tensor(self.mean).reshape(1, 3, 1, 1)

    monkeypatch.setattr(Statistics, "normalise", normalise)
    engine = placed(Reference(FIXTURES / "sam2_parity").engine())
    with copies(), pytest.raises(RuntimeError, match="same device.* at core/engines/image_model.p"):
        engine.encode(FRAME)
