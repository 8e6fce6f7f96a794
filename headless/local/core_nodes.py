"""The few nodes of ComfyUI itself that workflows around segmentation use, for runs without it.

They keep the ids, inputs and results of ComfyUI's own. Output nodes hand their files to the runner
in memory. Pixels are rounded to 8 bits, where ComfyUI cuts the fraction off.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, ImageSequence

from ..pictures import Pictures, explaining
from ..sinks.files import FileData

NO_ALPHA_SIZE = 64
PNG_LEVEL = 4


class LoadImage:
    """Reads an image file: IMAGE [frames, H, W, 3] and MASK, 1 where the file is transparent."""

    pictures: Pictures
    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("STRING", {})}}

    @classmethod
    def reading(cls, pictures: Pictures) -> type[LoadImage]:
        """Return the node for a run that may read these pictures and no other file."""
        return type(cls.__name__, (cls,), {"pictures": pictures})

    @classmethod
    def VALIDATE_INPUTS(cls, image: str | None) -> bool | str:
        if image is None:
            return "image is linked; accepted is the name of a file. Remove the link"
        try:
            cls.pictures.check(image)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def IS_CHANGED(cls, image: str) -> list[Any]:
        status = Path(cls.pictures.find(image)).stat()
        return [status.st_size, status.st_mtime_ns]

    def execute(self, image: str) -> tuple[torch.Tensor, torch.Tensor]:
        path = self.pictures.find(image)
        with explaining(Path(path)), Image.open(path) as opened:
            frames = list(_frames(opened))
        images, masks = zip(*frames, strict=True)
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks))


def _frames(opened: Image.Image) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    size = None
    for raw in ImageSequence.Iterator(opened):
        frame = ImageOps.exif_transpose(raw)
        size = size or frame.size
        # Frames of other sizes (thumbnails, icon sizes) do not fit into one batch.
        if frame.size == size:
            yield _pixels(frame)
        # The further pictures of an MPO photograph are previews of the first.
        if opened.format == "MPO":
            return


def _pixels(frame: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    no_alpha = np.zeros((NO_ALPHA_SIZE, NO_ALPHA_SIZE), np.float32)
    if frame.mode.startswith("I"):
        # Pillow would clip 16-bit grey to white instead of scaling it.
        grey = np.asarray(frame, np.float32)[..., None] / np.float32(65535.0)
        return np.repeat(grey.clip(0, 1), 3, axis=2), no_alpha
    if not frame.has_transparency_data:
        return np.asarray(frame.convert("RGB"), np.float32) / np.float32(255.0), no_alpha
    rgba = np.asarray(frame.convert("RGBA"), np.float32) / np.float32(255.0)
    return np.ascontiguousarray(rgba[..., :3]), 1 - rgba[..., 3]


def encode_png(frame: torch.Tensor) -> bytes:
    """Return an [H, W, C] image, or an [H, W] one, as a PNG file of 8 bits per channel."""
    finite = torch.nan_to_num(frame.detach().float()).clamp(0, 1)
    array = (finite * 255).round().to(torch.uint8).cpu().numpy()
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(stream, "PNG", compress_level=PNG_LEVEL)
    return stream.getvalue()


def _files(images: torch.Tensor) -> dict[str, Any]:
    return {"images": [FileData(encode_png(frame)) for frame in images]}


class SaveImage:
    """Hands every frame to the runner as a PNG file."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "images": ("IMAGE", {}),
                "filename_prefix": ("STRING", {"default": "ComfyUI"}),
            }
        }

    def execute(self, images: torch.Tensor, filename_prefix: str = "ComfyUI") -> dict[str, Any]:
        return {"ui": _files(images), "result": (images,)}


class PreviewImage:
    """As SaveImage, without a name of its own."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE", {})}}

    def execute(self, images: torch.Tensor) -> dict[str, Any]:
        return {"ui": _files(images), "result": (images,)}


class MaskPreview:
    """Hands every mask to the runner as a grey PNG file with three channels."""

    RETURN_TYPES = ()
    FUNCTION = "execute"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"mask": ("MASK", {})}}

    def execute(self, mask: torch.Tensor) -> dict[str, Any]:
        return {"ui": _files(_mask_to_image(mask)), "result": ()}


class PreviewAny:
    """Hands any value to the runner as text."""

    RETURN_TYPES = ("STRING",)
    FUNCTION = "execute"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"source": ("*", {})}}

    def execute(self, source: object = None) -> dict[str, Any]:
        text = _as_text(source)
        return {"ui": {"text": (text,)}, "result": (text,)}


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    try:
        return json.dumps(value, indent=4)
    except (TypeError, ValueError):
        return str(value)


class MaskToImage:
    """A mask as a grey image with three channels."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"mask": ("MASK", {})}}

    def execute(self, mask: torch.Tensor) -> tuple[torch.Tensor]:
        return (_mask_to_image(mask),)


class ImageFromBatch:
    """Some images of a batch, from a place on; a place below 0 counts from the end."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"image": ("IMAGE", {})},
            "optional": {
                "batch_index": ("INT", {"default": 0}),
                "length": ("INT", {"default": 1, "min": 1}),
            },
        }

    def execute(
        self, image: torch.Tensor, batch_index: int = 0, length: int = 1
    ) -> tuple[torch.Tensor]:
        last = len(image) - 1
        start = batch_index if batch_index >= 0 else len(image) + batch_index
        start = min(max(start, 0), last)
        return (image[start : start + length].clone(),)


def _mask_to_image(mask: torch.Tensor) -> torch.Tensor:
    return mask.reshape(-1, *mask.shape[-2:])[..., None].expand(-1, -1, -1, 3)


class InvertMask:
    """One minus the mask."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"mask": ("MASK", {})}}

    def execute(self, mask: torch.Tensor) -> tuple[torch.Tensor]:
        return (1.0 - mask,)


class JoinImageWithAlpha:
    """An image with transparency: alpha is one minus the mask, resized to the image."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("IMAGE", {}), "alpha": ("MASK", {})}}

    def execute(self, image: torch.Tensor, alpha: torch.Tensor) -> tuple[torch.Tensor]:
        masks = alpha.to(image).reshape(-1, 1, *alpha.shape[-2:])
        resized = torch.nn.functional.interpolate(masks, image.shape[1:3], mode="bilinear")
        count = max(len(image), len(masks))
        opacity = _repeat(1.0 - resized[:, 0], count)
        return (torch.cat((_repeat(image, count)[..., :3], opacity[..., None]), dim=-1),)


def _repeat(batch: torch.Tensor, count: int) -> torch.Tensor:
    times = math.ceil(count / len(batch))
    return batch.repeat(times, *[1] * (batch.ndim - 1))[:count] if times > 1 else batch


class ImageBlur:
    """A Gaussian over 2 blur_radius + 1 pixels, which sigma counts as 2; borders are mirrored."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "image": ("IMAGE", {}),
                "blur_radius": ("INT", {"default": 1, "min": 1, "max": 31}),
                "sigma": ("FLOAT", {"default": 1.0, "min": 0.1, "max": 10.0}),
            }
        }

    def execute(self, image: torch.Tensor, blur_radius: int, sigma: float) -> tuple[torch.Tensor]:
        places = torch.linspace(-1, 1, 2 * blur_radius + 1).to(image)
        kernel = torch.softmax(-places.square() / (2 * sigma * sigma), dim=0)
        planes = image.permute(3, 0, 1, 2)
        padded = torch.nn.functional.pad(planes, [blur_radius] * 4, mode="reflect")
        batches = padded.reshape(-1, 1, *padded.shape[2:])
        rows = torch.nn.functional.conv2d(batches, kernel[None, None, :, None])
        blurred = torch.nn.functional.conv2d(rows, kernel[None, None, None, :])
        return (blurred.reshape(planes.shape).permute(1, 2, 3, 0).contiguous(),)


CORE_NODES: dict[str, type] = {
    each.__name__: each
    for each in (
        LoadImage,
        SaveImage,
        PreviewImage,
        MaskPreview,
        PreviewAny,
        ImageFromBatch,
        MaskToImage,
        InvertMask,
        JoinImageWithAlpha,
        ImageBlur,
    )
}
