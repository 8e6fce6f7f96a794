"""Crops: where they lie, what is in them, and how large they are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.pictures.crops import (
    Aspect,
    CropSettings,
    Place,
    Together,
    crop,
    plan_crops,
)
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments

SIZE = (60, 100)
NO_PADDING = CropSettings(padding=0, multiple_of=1)


def _object(box: tuple[int, int, int, int], label: str = "cat", frame: int = 0, size=SIZE):
    """An object that fills a box, xyxy."""
    left, top, right, bottom = box
    mask = torch.zeros(size, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return Instance(compact(mask), 0.9, label, frame)


def _segments(*objects: Instance, size=SIZE, batch: int = 1) -> Segments:
    return Segments.from_instances(objects, size, batch)


def _ramp(batch: int = 1, size=SIZE) -> torch.Tensor:
    """Images whose every pixel says where it is: [batch, H, W, 3], 0..1."""
    y, x = torch.meshgrid(*(torch.linspace(0, 1, side) for side in size), indexing="ij")
    frames = torch.linspace(0, 1, batch)[:, None, None].expand(batch, *size)
    return torch.stack((x.expand_as(frames), y.expand_as(frames), frames), dim=-1)


def _rectangle(place: Place) -> tuple[int, int, int, int]:
    return place.left, place.top, place.width, place.height


@pytest.mark.parametrize(
    ("box", "settings", "rectangle", "size"),
    [
        ((40, 20, 60, 30), {}, (40, 20, 20, 10), (10, 20)),
        # Half of the width on the left and on the right, half of the height above and below.
        ((40, 20, 60, 30), {"padding": 50}, (30, 15, 40, 20), (20, 40)),
        # Moved into the image, as large as elsewhere.
        ((0, 0, 20, 10), {"padding": 50}, (0, 0, 40, 20), (20, 40)),
        ((80, 50, 100, 60), {"padding": 50}, (60, 40, 40, 20), (20, 40)),
        # No more than the image has.
        ((40, 20, 60, 30), {"padding": 400}, (0, 0, 100, 60), (60, 100)),
        ((40, 20, 60, 30), {"aspect": Aspect.SQUARE}, (40, 15, 20, 20), (20, 20)),
        ((40, 20, 60, 30), {"multiple_of": 8}, (38, 17, 24, 16), (16, 24)),
        # Larger than the image: the same on both sides.
        ((0, 0, 100, 60), {"multiple_of": 64}, (-14, -2, 128, 64), (64, 128)),
        ((0, 10, 100, 20), {"aspect": Aspect.SQUARE}, (0, -20, 100, 100), (100, 100)),
        # Enlarged four times; the short side of 40 is rounded up to 64, 16 of the image.
        ((40, 20, 60, 30), {"size": 80}, (40, 20, 20, 10), (40, 80)),
        ((40, 20, 60, 30), {"size": 128, "multiple_of": 64}, (40, 20, 20, 10), (64, 128)),
        ((40, 20, 56, 26), {"size": 64, "multiple_of": 16}, (40, 19, 16, 8), (32, 64)),
        ((20, 20, 60, 40), {"size": 20}, (20, 20, 40, 20), (10, 20)),
        # A size that is no multiple is rounded up.
        ((40, 20, 60, 40), {"size": 50, "multiple_of": 16}, (40, 20, 20, 20), (64, 64)),
    ],
)
def test_where_a_crop_lies(box, settings, rectangle, size):
    chosen = CropSettings(**{"padding": 0, "multiple_of": 1} | settings)
    (place,) = plan_crops(_segments(_object(box)), chosen)
    assert _rectangle(place) == rectangle
    assert place.size == size
    pixels, mask = crop(_ramp(), place)
    assert pixels.shape == (*size, 3)
    assert mask.shape == size


@st.composite
def _scenes(draw) -> tuple[Segments, CropSettings]:
    """An object in an image, both of any size, and settings."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    settings = CropSettings(
        padding=draw(st.integers(0, 200)),
        size=draw(st.sampled_from((0, 1, 17, 64, 100))),
        multiple_of=draw(st.sampled_from((1, 2, 8, 13, 64))),
        aspect=draw(st.sampled_from(Aspect)),
    )
    size = (height, width)
    return _segments(_object((left, top, right, bottom), size=size), size=size), settings


@given(_scenes())
def test_every_crop_holds_its_object_at_its_shape(scene):
    segments, settings = scene
    (place,) = plan_crops(segments, settings)
    (mask,) = place.masks
    assert place.left <= mask.left and mask.right <= place.left + place.width
    assert place.top <= mask.top and mask.bottom <= place.top + place.height
    assert all(side % settings.multiple_of == 0 for side in place.size)
    if settings.size:
        assert 0 <= max(place.size) - settings.size < settings.multiple_of
    else:
        assert place.size == (place.height, place.width)
    if settings.aspect is Aspect.SQUARE:
        assert place.width == place.height
    # Not distorted by more than half a pixel of the image.
    scale = max(place.size) / max(place.height, place.width)
    assert all(
        abs(side - rectangle * scale) <= scale / 2 + 1e-6
        for side, rectangle in zip(place.size, (place.height, place.width), strict=True)
    )
    # Inside the image wherever it fits.
    starts, sides = (place.top, place.left), (place.height, place.width)
    for start, side, length in zip(starts, sides, segments.size, strict=True):
        assert (0 <= start <= length - side) if side <= length else start <= 0
        assert start + side >= length or side <= length


def test_what_shares_a_crop():
    objects = (
        _object((0, 0, 10, 10), "cat"),
        _object((20, 20, 30, 30), "dog"),
        _object((50, 20, 60, 40), "cat"),
        _object((5, 5, 15, 15), "cat", frame=2),
        _object((0, 0, 0, 0), "nothing", frame=1),
    )
    segments = _segments(*objects, batch=3)
    expected = {
        Together.OBJECT: [("cat", 0), ("dog", 0), ("cat", 0), ("cat", 2)],
        Together.LABEL: [("cat", 0), ("dog", 0), ("cat", 2)],
        Together.ALL: [("cat, dog", 0), ("cat", 2)],
    }
    for together, labels in expected.items():
        places = plan_crops(segments, CropSettings(together, padding=0, multiple_of=1))
        assert [(place.label, place.frame) for place in places] == labels
    assert _rectangle(places[0]) == (0, 0, 60, 40)
    assert places[0].area() == 100 + 100 + 200
    image = _ramp(3)
    pixels, mask = crop(image, places[0])
    assert torch.equal(pixels, image[0, :40, :60])
    assert mask.sum() == 400 and mask[25, 25] == 1 and mask[25, 35] == 0
    assert torch.equal(crop(image, places[1])[0], image[2, 5:15, 5:15])


def test_without_objects_an_empty_crop_stands_in():
    for segments in (_segments(), _segments(_object((0, 0, 0, 0)), batch=2)):
        (place,) = plan_crops(segments, CropSettings(size=128, multiple_of=32))
        assert place.masks == () and place.label == "" and place.frame == 0
        pixels, mask = crop(_ramp(), place)
        assert pixels.shape == (128, 128, 3)
        assert mask.shape == (128, 128) and not mask.any()


def test_a_crop_is_never_a_view_of_the_image():
    image = _ramp()
    before = image.clone()
    for settings in (NO_PADDING, CropSettings(padding=0, size=40, multiple_of=1)):
        (place,) = plan_crops(_segments(_object((10, 10, 50, 30))), settings)
        pixels, _ = crop(image, place)
        assert pixels.is_contiguous()
        pixels.zero_()
    assert torch.equal(image, before)


def test_beyond_the_border_pixels_are_repeated_and_nothing_is_selected():
    image = _ramp()
    (place,) = plan_crops(
        _segments(_object((0, 0, 100, 60))), CropSettings(padding=0, multiple_of=64)
    )
    pixels, mask = crop(image, place)
    assert torch.equal(pixels[2:62, 14:114], image[0])
    assert torch.equal(pixels[:, 0], pixels[:, 14]) and torch.equal(pixels[63], pixels[61])
    assert mask.sum() == 60 * 100 and mask[2:62, 14:114].all()


@pytest.mark.parametrize("size", [20, 80])
def test_a_scaled_crop_shows_the_same(size):
    image, (place,) = (
        _ramp(),
        plan_crops(
            _segments(_object((30, 10, 70, 30))), CropSettings(padding=0, size=size, multiple_of=1)
        ),
    )
    pixels, mask = crop(image, place)
    assert mask.min() == 1
    assert (pixels[..., 0].diff(dim=1) > 0).all() and (pixels[..., 1].diff(dim=0) > 0).all()
    middle = image[0, 19:21, 49:51].mean(dim=(0, 1))
    rows, columns = (slice(side // 2 - 1, side // 2 + 1) for side in place.size)
    assert torch.allclose(pixels[rows, columns].mean(dim=(0, 1)), middle, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_alpha(channels):
    image = torch.rand(1, *SIZE, channels)
    (place,) = plan_crops(_segments(_object((10, 10, 30, 30))), NO_PADDING)
    expected = image[0, 10:30, 10:30, : min(channels, 3)].expand(-1, -1, 3)
    assert torch.equal(crop(image, place)[0], expected)


def test_nan_is_refused():
    image = _ramp()
    image[0, 15, 15, 1] = float("nan")
    (place,) = plan_crops(_segments(_object((10, 10, 30, 30))), NO_PADDING)
    with pytest.raises(InputError, match="frame 0 holds NaN"):
        crop(image, place)
