"""The core nodes of a run without ComfyUI: what they read, write and make of each other."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headless.local.core_nodes import CORE_NODES, LoadImage, encode_png
from headless.pictures import Pictures


def load(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    pictures = Pictures({"input": path.parent})
    return LoadImage.reading(pictures)().execute(path.name)


def test_load_image_turns_photographs_upright(tmp_path):
    image = Image.new("RGB", (8, 4), "white")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    loaded, mask = load(tmp_path / "x.jpg")
    assert loaded.shape == (1, 8, 4, 3) and loaded.dtype == torch.float32
    assert mask.shape == (1, 64, 64) and not mask.any()


@pytest.mark.parametrize(
    ("mode", "color", "rgb", "transparent"),
    [
        ("RGBA", (255, 0, 0, 51), (1, 0, 0), 0.8),
        ("LA", (255, 0), (1, 1, 1), 1.0),
        ("RGB", (0, 255, 0), (0, 1, 0), None),
        ("L", 51, (0.2, 0.2, 0.2), None),
        ("1", 1, (1, 1, 1), None),
        ("I;16", 65535, (1, 1, 1), None),
        ("I;16", 32768, (0.5, 0.5, 0.5), None),
    ],
)
def test_load_image_modes(tmp_path, mode, color, rgb, transparent):
    Image.new(mode, (6, 4), color).save(tmp_path / "x.png")
    loaded, mask = load(tmp_path / "x.png")
    assert loaded.shape == (1, 4, 6, 3)
    assert torch.allclose(loaded[0, 0, 0], torch.tensor(rgb, dtype=torch.float32), atol=1e-4)
    if transparent is None:
        assert mask.shape == (1, 64, 64) and not mask.any()
    else:
        assert mask.shape == (1, 4, 6)
        assert torch.allclose(mask, torch.tensor(transparent, dtype=torch.float32), atol=1e-4)


def test_load_image_palette_with_transparency_and_frames(tmp_path):
    Image.new("P", (5, 5), 0).save(tmp_path / "p.png", transparency=0)
    assert load(tmp_path / "p.png")[1].min() == 1
    frames = [Image.new("RGB", (4, 3), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "f.tif", save_all=True, append_images=frames[1:])
    loaded, mask = load(tmp_path / "f.tif")
    assert loaded.shape == (2, 3, 4, 3) and mask.shape == (2, 64, 64)


@pytest.mark.parametrize(
    ("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")], ids=["grey", "rgb", "rgba"]
)
def test_pixels_are_rounded_and_kept_in_range(channels, mode):
    values = torch.tensor([0.0, 0.5, 0.9999, 1.7, -3.0, float("nan")]).half()
    frame = values[None, :, None].expand(2, -1, channels)
    image = Image.open(io.BytesIO(encode_png(frame)))
    assert image.mode == mode
    flat = np.asarray(image).reshape(2, 6, channels)[0, :, 0]
    assert flat.tolist() == [0, 128, 255, 255, 0, 0]


def test_every_8_bit_picture_survives_loading_and_saving(tmp_path):
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(np.stack([array, array.T, array], -1)).save(tmp_path / "x.png")
    loaded, _ = load(tmp_path / "x.png")
    again = np.asarray(Image.open(io.BytesIO(encode_png(loaded[0]))))
    assert np.array_equal(again, np.stack([array, array.T, array], -1))


def test_join_with_alpha_resizes_and_repeats_the_mask():
    image, mask = torch.rand(3, 8, 6, 3), torch.ones(1, 4, 3)
    (joined,) = CORE_NODES["JoinImageWithAlpha"]().execute(image, mask)
    assert joined.shape == (3, 8, 6, 4) and not joined[..., 3].any()
    assert torch.equal(joined[..., :3], image)
    (joined,) = CORE_NODES["JoinImageWithAlpha"]().execute(image[:2], torch.rand(3, 8, 6))
    assert len(joined) == 3 and torch.equal(joined[2, ..., :3], image[0])


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (1.5, "1.5"), (None, "None"), ([1, "x"], '[\n    1,\n    "x"\n]'), ({1}, "{1}")],
)
def test_preview_any_shows_values_as_comfyui_does(value, text):
    assert CORE_NODES["PreviewAny"]().execute(value)["result"] == (text,)


def test_mask_to_image_and_invert():
    mask = torch.rand(2, 3, 4)
    (image,) = CORE_NODES["MaskToImage"]().execute(mask)
    assert image.shape == (2, 3, 4, 3) and torch.equal(image[..., 1], mask)
    assert CORE_NODES["MaskToImage"]().execute(mask[0])[0].shape == (1, 3, 4, 3)
    assert torch.equal(CORE_NODES["InvertMask"]().execute(mask)[0], 1 - mask)


@pytest.mark.parametrize(
    ("index", "length", "places"),
    [(0, 1, [0]), (1, 2, [1, 2]), (2, 4, [2]), (9, 1, [2]), (-1, 1, [2]), (-9, 2, [0, 1])],
)
def test_some_images_of_a_batch_as_comfyui_takes_them(index, length, places):
    image = torch.arange(3.0)[:, None, None, None].expand(3, 2, 2, 3)
    (taken,) = CORE_NODES["ImageFromBatch"]().execute(image, index, length)
    assert torch.equal(taken, image[places])


def test_blur_weighs_by_a_gaussian_and_mirrors_the_borders():
    image = torch.zeros(2, 5, 7, 3)
    image[1, 2, 3] = 1
    (blurred,) = CORE_NODES["ImageBlur"]().execute(image, 1, 0.5)
    side = math.exp(-2.0)
    row = torch.tensor((side, 1.0, side)) / (1 + 2 * side)
    assert not blurred[0].any()
    assert torch.allclose(blurred[1, 1:4, 2:5, 0], row[:, None] * row, atol=1e-6)
    assert blurred[1].count_nonzero() == 27
    image[1] = 0
    image[1, :, 1] = 1
    (blurred,) = CORE_NODES["ImageBlur"]().execute(image, 1, 0.5)
    assert torch.allclose(blurred[1, :, 0], 2 * row[0].expand(5, 3), atol=1e-6)
