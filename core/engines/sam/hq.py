"""HQ-SAM: SAM with one more token, whose mask also reads features of the encoder's early layers.

Source: Ke et al., "Segment Anything in High Quality" (2023); numerically equal to the official
`SamPredictor` (segment_anything_hq 0.3) with its defaults, see tests/parity. The decoder runs on
the parts of transformers' `SamHQMaskDecoder`, whose own `forward` (4.57 to 5.23) decodes the image
as it was before the attention, with height and width exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from . import engine as sam

if TYPE_CHECKING:
    from transformers.models.sam_hq.modeling_sam_hq import SamHQMaskDecoder


class SamHqEngine(sam.SamEngine):
    """An HQ-SAM model: the image encoder in `dtype`, prompt encoder and mask decoder in fp32.

    It proposes one mask for each object, also where several are asked for: the best of SAM's own
    plus the high-quality one.
    """

    family = "sam_hq"
    decoder_numbers = 190

    def _features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """SAM's map at 1/16 of the model's input, and one at 1/4 for the high-quality mask, both in
        the encoder's dtype."""
        output = self.module.vision_encoder(pixels)
        last, early = output.last_hidden_state, output.intermediate_embeddings[0]
        fine = _fine_features(self._decoder, last.float(), early.float())
        return last, fine.to(self._dtype)

    def _decode_tokens(
        self, features: list[Tensor], sparse: Tensor | None, dense: Tensor, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        coarse_map, fine_map = features
        position = self.module.get_image_wide_positional_embeddings()
        decoder = self._decoder
        tokens, image = _attend(decoder, coarse_map + dense, position.expand_as(dense), sparse)
        upscaled = _upscale(decoder, image)
        sam_masks, scores = _best(*_sam_masks(decoder, tokens, upscaled, multimask))
        return sam_masks + _hq_mask(decoder, tokens, upscaled, fine_map), scores

    @property
    def _decoder(self) -> SamHQMaskDecoder:
        return cast("SamHQMaskDecoder", self.module.mask_decoder)


def _fine_features(decoder: SamHQMaskDecoder, last: Tensor, early: Tensor) -> Tensor:
    """The encoder's last map [1, C, s, s] and the first global block's output [1, s, s, D] ->
    [1, C/8, 4 s, 4 s]."""
    act = decoder.activation
    late = decoder.encoder_conv2(act(decoder.encoder_norm(decoder.encoder_conv1(last))))
    early = decoder.compress_vit_conv1(early.permute(0, 3, 1, 2))
    return late + decoder.compress_vit_conv2(act(decoder.compress_vit_norm(early)))


def _attend(
    decoder: SamHQMaskDecoder, image: Tensor, position: Tensor, sparse: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Let tokens and image [N, C, s, s] attend to each other: tokens [N, T, C] and the image.

    The tokens are one for the scores, one for each of SAM's masks, the high-quality one, and the
    prompt's.
    """
    own = (decoder.iou_token.weight, decoder.mask_tokens.weight, decoder.hq_token.weight)
    tokens = torch.cat(own).expand(len(image), 1, -1, -1)
    if sparse is not None:
        tokens = torch.cat([tokens, sparse], dim=2)
    tokens, attended = decoder.transformer(
        point_embeddings=tokens,
        image_embeddings=image,
        image_positional_embeddings=position,
        attention_similarity=None,
    )
    return tokens[:, 0], attended[:, 0].transpose(1, 2).reshape(image.shape)


def _upscale(decoder: SamHQMaskDecoder, image: Tensor) -> Tensor:
    """[N, C, s, s] -> [N, C/8, 4 s, 4 s]."""
    act = decoder.activation
    image = act(decoder.upscale_layer_norm(decoder.upscale_conv1(image)))
    return act(decoder.upscale_conv2(image))


def _sam_masks(
    decoder: SamHQMaskDecoder, tokens: Tensor, upscaled: Tensor, multimask: bool
) -> tuple[Tensor, Tensor]:
    """SAM's own masks [N, K, h, w] and scores [N, K]: the first token's, or all the others'."""
    count = decoder.mask_tokens.num_embeddings
    chosen = list(range(1, count)) if multimask else [0]
    mlps = decoder.output_hypernetworks_mlps
    weights = torch.stack([mlps[index](tokens[:, 1 + index]) for index in chosen], dim=1)
    masks = torch.einsum("nkc,nchw->nkhw", weights, upscaled)
    return masks, decoder.iou_prediction_head(tokens[:, 0])[:, chosen]


def _best(masks: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """The mask with the highest score: [N, K, h, w] and [N, K] -> [N, 1, h, w] and [N, 1]."""
    scores, best = scores.max(dim=1, keepdim=True)
    return masks.take_along_dim(best[:, :, None, None], dim=1), scores


def _hq_mask(decoder: SamHQMaskDecoder, tokens: Tensor, upscaled: Tensor, fine: Tensor) -> Tensor:
    """The high-quality mask [N, 1, h, w] from both feature maps at its size."""
    act = decoder.activation
    features = decoder.mask_conv2(act(decoder.mask_norm(decoder.mask_conv1(upscaled)))) + fine
    weights = decoder.hq_mask_mlp(tokens[:, 1 + decoder.mask_tokens.num_embeddings])
    return torch.einsum("nc,nchw->nhw", weights, features)[:, None]


def from_official(state: Mapping[str, Tensor], dtype: torch.dtype) -> SamHqEngine:
    """Build the engine from an official state dict."""
    width = state["image_encoder.patch_embed.proj.weight"].shape[0]
    return SamHqEngine(sam.build_official(state, "SamHQ", vit_dim=width), dtype)


def from_transformers(
    config: Mapping[str, Any], state: Mapping[str, Tensor], dtype: torch.dtype
) -> SamHqEngine:
    """Build the engine from a transformers folder: its config.json and its state dict."""
    return SamHqEngine(sam.build_folder(config, state, "SamHQ"), dtype)
