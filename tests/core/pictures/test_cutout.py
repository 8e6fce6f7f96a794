"""Cut-outs: transparency, backgrounds, crops."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.pictures.cutout import (
    CutOutSettings,
    cut_out,
    cut_out_objects,
    read_background,
    selected_area,
)
from segment_anywhere.core.results.segments import mask_segments

from tests.support.portraits import portrait

SIZE = (60, 80)


def _cut(image, mask, area=None, **settings) -> torch.Tensor:
    settings = CutOutSettings(**settings)
    area = area or (slice(0, SIZE[0]), slice(0, SIZE[1]))
    kept = mask[:, area[0], area[1]]
    out = torch.full((*kept.shape, settings.channels), float("nan"))
    assert len(list(cut_out(image, mask, area, settings, out))) == len(mask)
    return out


def _mask(batch: int = 1) -> torch.Tensor:
    mask = torch.zeros(batch, *SIZE)
    mask[:, 10:30, 20:50] = 1.0
    mask[:, 30, 20:50] = 0.5
    return mask


def _image(batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, *SIZE, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("clean", [False, True])
def test_the_mask_is_the_alpha(clean):
    image, mask = _image(2), _mask(2)
    cut = _cut(image, mask, clean_edges=clean)
    assert torch.equal(cut[..., 3], mask)
    assert torch.allclose(cut[:, 13:27, 24:46, :3], image[:, 13:27, 24:46], atol=1e-6)
    assert torch.equal(cut[..., :3], image) is not clean


def test_a_colour_shows_as_much_as_the_mask_does_not():
    image, mask = _image(), _mask()
    cut = _cut(image, mask, clean_edges=False, background=(0.0, 1.0, 0.0))
    assert cut.shape == (1, *SIZE, 3)
    green = torch.tensor((0.0, 1.0, 0.0))
    assert torch.allclose(cut[0, 40:], green.expand(20, 80, 3))
    assert torch.allclose(cut[0, 30, 20:50], (image[0, 30, 20:50] + green) / 2)
    assert torch.allclose(cut[0, 10:30, 20:50], image[0, 10:30, 20:50])


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("background", [None, (1.0, 1.0, 1.0)])
def test_a_crop_is_a_part_of_the_whole(clean, background):
    image, mask = _image(2), _mask(2)
    mask[1, 50, 70] = 1.0
    area = selected_area(mask)
    assert area == (slice(10, 51), slice(20, 71))
    settings = {"clean_edges": clean, "background": background}
    whole = _cut(image, mask, **settings)
    assert torch.equal(_cut(image, mask, area, **settings), whole[:, area[0], area[1]])


def test_where_nothing_is_selected_all_stays():
    assert selected_area(torch.zeros(2, *SIZE)) == (slice(0, 60), slice(0, 80))


@pytest.mark.parametrize("colour", [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
def test_no_rim_of_the_old_background_is_left(colour):
    """A red disc on blue, antialiased by its own mask: no blue may be left on the new ground."""
    rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    mask = (20.0 - ((rows - 30) ** 2 + (columns - 40) ** 2).sqrt() + 0.5).clamp(0, 1)[None]
    red, blue = torch.tensor((1.0, 0.0, 0.0)), torch.tensor((0.0, 0.0, 1.0))
    image = torch.lerp(blue, red, mask[..., None])
    cut = _cut(image, mask, background=colour)
    expected = torch.lerp(torch.tensor(colour), red, mask[..., None])
    assert (cut - expected).abs().max() < 0.05
    rimmed = _cut(image, mask, clean_edges=False, background=colour)
    assert (rimmed - expected).abs().max() > 0.2


GROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0)}


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("seed", range(3))
def test_strands_of_hair_keep_no_rim_on_another_ground(seed, ground):
    """A portrait on a light ground, whose own alpha is the mask: the truth is known."""
    person, colour = portrait(256, seed), torch.tensor(GROUNDS[ground])
    wanted = person.over(colour)
    edge = (person.alpha > 0.02) & (person.alpha < 0.98)
    assert edge.sum() > 2000

    def error(clean: bool) -> torch.Tensor:
        cut = _cut(
            person.image[None],
            person.alpha[None],
            (slice(None), slice(None)),
            clean_edges=clean,
            background=GROUNDS[ground],
        )
        return (cut[0] - wanted).abs()[edge].amax(dim=1)

    clean, naive = error(True), error(False)
    assert clean.mean() < 0.025
    assert clean.quantile(0.99) < 0.1
    assert clean.mean() < 0.25 * naive.mean()


def test_objects_one_by_one_lie_in_their_own_frames():
    image, masks = _image(2), _mask(2)
    masks[1] = masks[1].roll(5, 1)
    segments = mask_segments(masks, "box")
    settings = CutOutSettings()
    for crop in (False, True):
        cuts = list(cut_out_objects(image, segments, settings, crop))
        for frame, (picture, mask) in enumerate(cuts):
            alone = segments.full_masks()[frame : frame + 1] / 255
            area = selected_area(alone) if crop else (slice(None), slice(None))
            assert torch.equal(mask, alone[:, area[0], area[1]])
            assert torch.equal(picture, _cut(image[frame : frame + 1], alone, area))


@pytest.mark.parametrize(
    ("text", "background"),
    [
        ("transparent", None),
        ("", None),
        (" Transparent ", None),
        ("white", (1.0, 1.0, 1.0)),
        ("#00ff00", (0.0, 1.0, 0.0)),
        ("#f00", (1.0, 0.0, 0.0)),
        ("rgb(0, 0, 255)", (0.0, 0.0, 1.0)),
    ],
)
def test_backgrounds(text, background):
    assert read_background(text) == background


@pytest.mark.parametrize("text", ["greenish", "#12", "0, 1, 0", "rgb(1)"])
def test_what_is_no_background_is_refused(text):
    with pytest.raises(InputError, match=r"background: found .*accepted are transparent"):
        read_background(text)
