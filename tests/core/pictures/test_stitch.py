"""Crops put back: what was not touched comes back exactly, what was changes within its mask."""

from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.pictures.crops import Aspect, CropSettings, Together, crop, plan_crops
from segment_anywhere.core.pictures.stitch import Stitch, divide_pictures, stitch_frames
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments, union_masks

from tests.support.live_bytes import LiveBytes

SIZE = (50, 70)
PLAIN = CropSettings(padding=0, multiple_of=1)


def _object(box, label="cat", frame=0, size=SIZE, soft=False) -> Instance:
    left, top, right, bottom = box
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[top:bottom, left:right] = 255
    if soft:
        mask[top:bottom, left] = 90
    return Instance(compact(mask), 0.9, label, frame)


def _segments(*objects: Instance, size=SIZE, batch=1) -> Segments:
    return Segments.from_instances(objects, size, batch)


def _noise(batch: int = 1, size=SIZE, channels: int = 3) -> torch.Tensor:
    return torch.rand(batch, *size, channels, generator=torch.Generator().manual_seed(0))


def _cropped(image, segments, chosen=PLAIN) -> Stitch:
    places = plan_crops(segments, chosen)
    crops = tuple(crop(image, place)[0][None] for place in places)
    return Stitch(image, segments.batch, tuple(places), crops)


def _stitched(stitch, images, feather=0.0) -> torch.Tensor:
    (pictures,) = divide_pictures([stitch], images)
    out = torch.full((stitch.batch, *stitch.image.shape[1:3], 3), float("nan"))
    assert len(list(stitch_frames(stitch, pictures, feather, out))) == stitch.batch
    return out


@st.composite
def _scenes(draw) -> tuple[torch.Tensor, Segments, CropSettings, float]:
    """Images of any size with objects anywhere, some of them soft, and any settings."""
    size = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    batch = draw(st.integers(1, 2))
    objects = []
    for number in range(draw(st.integers(0, 3))):
        left, top = draw(st.integers(0, size[1] - 1)), draw(st.integers(0, size[0] - 1))
        right, bottom = draw(st.integers(left, size[1])), draw(st.integers(top, size[0]))
        frame, soft = draw(st.integers(0, batch - 1)), draw(st.booleans()) and left < right
        objects.append(_object((left, top, right, bottom), f"{number % 2}", frame, size, soft))
    chosen = CropSettings(
        together=draw(st.sampled_from(Together)),
        padding=draw(st.integers(0, 100)),
        size=draw(st.sampled_from((0, 16, 50))),
        multiple_of=draw(st.sampled_from((1, 8))),
        aspect=draw(st.sampled_from(Aspect)),
    )
    image = _noise(batch, size)
    return image, _segments(*objects, size=size, batch=batch), chosen, draw(st.floats(0, 10))


@settings(max_examples=150)
@given(_scenes())
def test_what_comes_back_untouched_is_the_image_exactly(scene):
    image, segments, chosen, feather = scene
    stitch = _cropped(image, segments, chosen)
    assert torch.equal(_stitched(stitch, stitch.crops, feather), image)


@settings(max_examples=150)
@given(_scenes())
def test_nothing_changes_outside_the_masks(scene):
    image, segments, chosen, _ = scene
    stitch = _cropped(image, segments, chosen)
    stitched = _stitched(stitch, [1.0 - each for each in stitch.crops])
    masks = union_masks(segments)
    assert torch.equal(stitched[masks == 0], image[masks == 0])
    if not chosen.size:
        inside = masks == 1
        assert torch.equal(stitched[inside], 1.0 - image[inside])


@pytest.mark.parametrize("chosen", [PLAIN, CropSettings(padding=30), CropSettings(size=64)])
def test_what_comes_back_in_another_size_is_resized(chosen):
    """A colour is the same in every size."""
    image, segments = _noise(), _segments(_object((10, 10, 40, 30)), _object((50, 5, 60, 45)))
    stitch = _cropped(image, segments, chosen)
    colours = [torch.tensor((0.1, 0.2, 0.3)), torch.tensor((0.9, 0.8, 0.7))]
    returned = [colours[0].expand(1, 33, 17, 3), colours[1].expand(1, 8, 80, 3)]
    stitched = _stitched(stitch, returned)[0]
    assert torch.allclose(stitched[10:30, 10:40], colours[0].expand(20, 30, 3), atol=1e-6)
    assert torch.allclose(stitched[5:45, 50:60], colours[1].expand(40, 10, 3), atol=1e-6)


def test_a_resized_crop_comes_back_where_it_was():
    """A picture with few details survives being enlarged, changed a little, and put back."""
    y, x = torch.meshgrid(*(torch.linspace(0, 1, side) for side in SIZE), indexing="ij")
    image = torch.stack((x, y, x * y), dim=-1)[None]
    stitch = _cropped(image, _segments(_object((10, 10, 40, 30))), CropSettings(size=96))
    stitched = _stitched(stitch, [each * 0.5 for each in stitch.crops])
    assert torch.allclose(stitched[0, 10:30, 10:40], image[0, 10:30, 10:40] * 0.5, atol=2e-3)


def test_the_smaller_object_is_on_top():
    small, large = _object((20, 20, 30, 30)), _object((10, 10, 50, 40))
    for objects in ((small, large), (large, small)):
        stitch = _cropped(_noise(), _segments(*objects))
        shades = [torch.full_like(each, each.shape[1] / 100) for each in stitch.crops]
        stitched = _stitched(stitch, shades)
        assert (stitched[0, 20:30, 20:30] == 0.10).all()
        assert (stitched[0, 10:40, 10:20] == 0.30).all()
        # Untouched, it is what the image shows there: it is on top all the same.
        returned = [
            crop if crop.shape[1] == 10 else shade
            for crop, shade in zip(stitch.crops, shades, strict=True)
        ]
        stitched = _stitched(stitch, returned)
        assert torch.equal(stitched[0, 20:30, 20:30], stitch.image[0, 20:30, 20:30])
        assert (stitched[0, 10:20, 10:50] == 0.30).all()


def test_feather_fades_out_outside_and_takes_nothing_away_inside():
    image = torch.zeros(1, *SIZE, 3)
    stitch = _cropped(image, _segments(_object((20, 15, 45, 35))), CropSettings(padding=60))
    stitched = _stitched(stitch, [torch.ones_like(each) for each in stitch.crops], feather=8.0)
    row = stitched[0, 25, :, 0]
    assert (stitched[0, 15:35, 20:45] == 1).all()
    assert (row[:20].diff() >= 0).all() and (row[45:].diff() <= 0).all()
    assert (row[:12] == 0).all() and (row[53:] == 0).all()
    # The middle of the fade lies half its width outside.
    assert row[16] == pytest.approx(0.56, abs=0.1)


def test_soft_masks_stay_soft():
    image = torch.zeros(1, *SIZE, 3)
    stitch = _cropped(image, _segments(_object((20, 15, 45, 35), soft=True)))
    stitched = _stitched(stitch, [torch.ones_like(each) for each in stitch.crops])
    assert torch.allclose(stitched[0, 15:35, 20], torch.tensor(90 / 255))


def test_a_soft_edge_moves_outwards_as_a_whole():
    """Not only its middle: where it had almost faded out there is more of it."""
    ramp = (torch.linspace(1.5, -0.5, SIZE[1]).clamp(0, 1) * 255).round().to(torch.uint8)
    soft = Instance(compact(ramp.expand(SIZE).contiguous()), 0.9, "cat", 0)
    stitch = _cropped(torch.zeros(1, *SIZE, 3), _segments(soft), CropSettings(padding=50))
    white = [torch.ones_like(each) for each in stitch.crops]
    row, moved = (_stitched(stitch, white, feather)[0, 25, :, 0] for feather in (0.0, 8.0))
    assert (moved >= row).all()
    last = int(row.nonzero()[-1])
    assert moved[last + 1] > 0.01 and moved[last + 8] == 0


def test_frames_and_one_image_for_all():
    """Objects of a clip on one picture: each is put back on its own frame."""
    segments = _segments(_object((5, 5, 15, 15)), _object((30, 5, 40, 15), frame=2), batch=3)
    image = _noise()
    stitch = _cropped(image.expand(3, -1, -1, -1), segments)
    stitched = _stitched(stitch, [1.0 - each for each in stitch.crops])
    changed = (stitched != image).any(dim=-1)
    assert torch.equal(changed, union_masks(segments) > 0)


def test_a_batch_serves_as_a_list():
    segments = _segments(_object((5, 5, 15, 15)), _object((30, 5, 40, 15)))
    stitch = _cropped(_noise(), segments)
    changed = [1.0 - each for each in stitch.crops]
    assert torch.equal(_stitched(stitch, [torch.cat(changed)]), _stitched(stitch, changed))


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_alpha(channels):
    image = _noise(channels=channels)
    stitch = _cropped(image, _segments(_object((5, 5, 15, 15))))
    expected = image[..., : min(3, channels)].expand(-1, -1, -1, 3)
    assert torch.equal(_stitched(stitch, stitch.crops), expected)
    returned = [torch.ones(1, 10, 10, channels)]
    assert (_stitched(stitch, returned)[0, 5:15, 5:15] == 1).all()


def test_several_stitches_take_their_own():
    segments = _segments(_object((5, 5, 15, 15)), _object((30, 5, 40, 15)))
    stitches = [
        _cropped(_noise(), segments),
        _cropped(_noise(), _segments()),
        _cropped(_noise(), segments, CropSettings(Together.ALL)),
    ]
    pictures = [torch.full((1, 8, 8, 3), number / 10) for number in range(4)]
    divided = divide_pictures(stitches, pictures)
    assert [[float(each[0, 0, 0]) for each in own] for own in divided] == [
        [0.0, pytest.approx(0.1)],
        [pytest.approx(0.2)],
        [pytest.approx(0.3)],
    ]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([torch.zeros(1, 8, 8, 3)], "found 1 pictures for 2 crops"),
        ([torch.zeros(3, 8, 8, 3)], "found 3 pictures for 2 crops"),
        ([torch.zeros(2, 8, 8, 2)], "shape"),
        ([torch.full((2, 8, 8, 3), float("nan"))], "holds NaN"),
    ],
)
def test_what_is_refused(returned, message):
    segments = _segments(_object((5, 5, 15, 15)), _object((30, 5, 40, 15)))
    with pytest.raises(InputError, match=message):
        divide_pictures([_cropped(_noise(), segments)], returned)


def test_nan_in_the_image_is_refused():
    image = _noise()
    stitch = _cropped(image, _segments(_object((5, 5, 15, 15))))
    image[0, 40, 40] = float("nan")
    with pytest.raises(InputError, match="frame 0 holds NaN"):
        _stitched(stitch, stitch.crops)


def test_the_image_is_not_copied_and_not_written_into():
    image = _noise()
    before = image.clone()
    stitch = _cropped(image, _segments(_object((5, 5, 15, 15))))
    assert stitch.image is image
    _stitched(stitch, [torch.zeros_like(each) for each in stitch.crops], feather=4.0)
    assert torch.equal(image, before)


def test_a_small_object_of_a_large_image_costs_little():
    """Neither a mask nor a copy of the image's size is made, but for the result itself."""
    size = (1000, 1200)
    image, out = torch.rand(1, *size, 3), torch.empty(1, *size, 3)
    segments = _segments(_object((500, 400, 560, 460), size=size), size=size)
    with LiveBytes() as count:
        stitch = _cropped(image, segments, CropSettings(size=128))
        pictures = [torch.zeros_like(each[0]) for each in stitch.crops]
        for _ in stitch_frames(stitch, pictures, 8.0, out):
            pass
    assert not out[0, 410:450, 510:550].any()
    assert 0 < count.peak < image.nbytes / 10


def test_another_process_can_take_it():
    stitch = _cropped(_noise(), _segments(_object((5, 5, 15, 15))))
    again = pickle.loads(pickle.dumps(stitch))  # noqa: S301
    assert torch.equal(_stitched(again, stitch.crops), stitch.image)
