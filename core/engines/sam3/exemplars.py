"""Example boxes as SAM 3's detector reads them: a token for each box, and one at the end.

Source: the official `SequenceGeometryEncoder` (sam3 0.1.4, geometry_encoders.py), and the parts
that transformers' `Sam3GeometryEncoder` has of it. Unlike the two it needs no torchvision: pooling
under a box is a product of two small matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...prompts.prompts import Box

if TYPE_CHECKING:
    from transformers.models.sam3.modeling_sam3 import Sam3GeometryEncoder


def encode_prompt(
    encoder: Sam3GeometryEncoder,
    coarse: Tensor,
    position: Tensor,
    boxes: Sequence[Box],
    size: tuple[int, int],
) -> Tensor:
    """The tokens of boxes, [1, N + 1, C] float32; without any, the encoder's class token alone.

    coarse: the image's features [1, C, h, w] float32. position: their sine codes, of the same
    shape. boxes: in pixels of the image of size (H, W).
    """
    tokens = encoder.cls_embed.weight[None]
    if boxes:
        tokens = torch.cat((_box_tokens(encoder, coarse, boxes, size), tokens), dim=1)
    tokens = encoder.prompt_layer_norm(encoder.final_proj(tokens))
    for layer in encoder.layers:
        tokens = layer(
            prompt_feats=tokens,
            vision_feats=coarse.flatten(2).transpose(1, 2),
            vision_pos_encoding=position.flatten(2).transpose(1, 2),
            prompt_mask=None,
        )
    return encoder.output_layer_norm(tokens)


def _box_tokens(
    encoder: Sam3GeometryEncoder, coarse: Tensor, boxes: Sequence[Box], size: tuple[int, int]
) -> Tensor:
    """What is known of each box: its place, the features under it, and its sign: [1, N, C]."""
    height, width = size
    corners = coarse.new_tensor([(box.x1, box.y1, box.x2, box.y2) for box in boxes])
    corners = corners / corners.new_tensor((width, height, width, height))
    extent = corners[:, 2:] - corners[:, :2]
    centre = corners[:, :2] + extent / 2
    of_x, of_y = encoder.position_encoding.encode_1d_positions(centre[:, 0], centre[:, 1])
    places = torch.cat((of_y, of_x, extent.flip(1)), dim=1)
    features = encoder.vision_layer_norm(coarse.permute(0, 2, 3, 1))[0]
    pooled = pool_boxes(features, corners, encoder.roi_size)
    signs = torch.tensor([int(box.positive) for box in boxes], device=coarse.device)
    tokens = (
        encoder.boxes_direct_project(torch.cat((centre, extent), dim=1))
        + encoder.boxes_pool_project(pooled.permute(0, 3, 1, 2)).flatten(1)
        + encoder.boxes_pos_enc_project(places)
        + encoder.label_embed(signs)
    )
    return tokens[None]


def pool_boxes(features: Tensor, boxes: Tensor, cells: int) -> Tensor:
    """Mean features of the cells of a grid over each box: [N, cells, cells, C].

    features: [h, w, C]. boxes: [N, 4] xyxy, as fractions of the image. Equal to torchvision's
    `roi_align` with its defaults (He et al., "Mask R-CNN", 2017, with corners that are not
    aligned): a cell is the mean of samples a feature or less apart, each between its four
    neighbours, so rows and columns are weighted apart.
    """
    height, width = features.shape[:2]
    pooled = [
        torch.einsum(
            "ih,jw,hwc->ijc",
            _cell_weights(float(y1) * height, float(y2) * height, height, cells).to(features),
            _cell_weights(float(x1) * width, float(x2) * width, width, cells).to(features),
            features,
        )
        for x1, y1, x2, y2 in boxes.tolist()
    ]
    return torch.stack(pooled)


def _cell_weights(start: float, end: float, side: int, cells: int) -> Tensor:
    """How much each of `side` features counts in each cell between two places: [cells, side]."""
    # Smaller boxes are taken as one feature wide.
    length = max(end - start, 1.0)
    samples = -int(-length // cells)
    steps = (torch.arange(cells * samples, dtype=torch.float64) + 0.5) / (cells * samples)
    places = start + steps * length
    near = places.clamp(0, side - 1)
    weights = (1 - (near[:, None] - torch.arange(side)).abs()).clamp(min=0)
    # What lies a whole feature beyond the edge counts as nothing.
    weights[(places < -1) | (places > side)] = 0
    return weights.unflatten(0, (cells, samples)).mean(dim=1)
