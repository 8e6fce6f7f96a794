"""What a picture weighs when it is sent: lossless where it fits, else lossy, else smaller."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.providers.contract import ImageLimits
from segment_anywhere.core.providers.images import encode_picture, frame_pixels, own_pictures

NOISE = torch.rand(120, 160, 3, generator=torch.Generator().manual_seed(1))


def _bytes(limit: int, lossy: str = "JPEG"):
    picture = encode_picture(
        frame_pixels(NOISE[None]), ImageLimits(max_bytes=limit, lossy_format=lossy)
    )
    assert len(picture.data) <= limit
    with Image.open(io.BytesIO(picture.data)) as image:
        assert picture.size == (image.height, image.width)
        return picture, image.format


def test_what_fits_is_sent_without_loss():
    picture, kind = _bytes(10**6)
    assert (kind, picture.mime, picture.size) == ("PNG", "image/png", (120, 160))
    with Image.open(io.BytesIO(picture.data)) as image:
        sent = torch.tensor(list(image.tobytes())).view(120, 160, 3)
    assert torch.equal(sent, (NOISE * 255).round().long())


@pytest.mark.parametrize(("lossy", "mime"), [("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_what_is_too_large_is_sent_in_the_providers_lossy_format(lossy, mime):
    lossless = len(_bytes(10**6)[0].data)
    picture, kind = _bytes(lossless - 1, lossy)
    assert (kind, picture.mime, picture.size) == (lossy, mime, (120, 160))


def test_what_no_quality_makes_small_enough_is_made_smaller():
    picture, kind = _bytes(8000)
    height, width = picture.size
    assert kind == "JPEG" and 70 < height < 120 and abs(height / width - 120 / 160) < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_pixels_round_as_pytorch_does(dtype):
    frame = torch.linspace(0, 1, 3 * 510).view(17, 30, 3).to(dtype).float()
    assert torch.equal(torch.from_numpy(frame_pixels(frame[None])), (frame * 255).round().byte())


def test_the_providers_own_pictures_and_the_image_where_there_are_none():
    image = torch.rand(3, 4, 5, 4)
    assert own_pictures(image, {}) is image
    own = np.full((4, 5, 3), 51, np.uint8)
    frames = own_pictures(image, {1: own})
    assert frames.shape == (3, 4, 5, 3)
    assert torch.equal(frames[0], image[0, ..., :3])
    assert frames[1].unique().tolist() == pytest.approx([0.2])


@pytest.mark.parametrize(("quality", "finer"), [(95, None), (88, 95), (80, 88)])
def test_the_quality_falls_in_steps(quality, finer):
    """As far as it has to, and no farther."""
    image = Image.fromarray((NOISE * 255).round().byte().numpy())

    def saved(level: int) -> bytes:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=level)
        return stream.getvalue()

    limit = len(saved(quality)) if finer is None else len(saved(finer)) - 1
    assert _bytes(limit)[0].data == saved(quality)
