"""Small models that understand words, with random weights, as transformers folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn

WORDS = ("red", "green", "blue", "circle", "square", "dog", "a", "photo")
# Grounding DINO knows the ids of BERT's special tokens by heart.
_BERT_IDS = {
    "[PAD]": 0,
    "[UNK]": 100,
    "[CLS]": 101,
    "[SEP]": 102,
    "[MASK]": 103,
    ".": 1012,
    "?": 1029,
}
_FIRST_WORD = 1030


def write_bert_tokenizer(folder: Path) -> None:
    """BERT's tokenizer with a vocabulary of a few words, at the ids of the real one."""
    numbered = {f"[unused{index}]": index for index in range(_FIRST_WORD)}
    vocabulary = [*numbered, *WORDS]
    for token, index in _BERT_IDS.items():
        vocabulary[index] = token
    (folder / "vocab.txt").write_text("\n".join([*vocabulary, ""]), encoding="utf-8")
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})


def write_clip_tokenizer(folder: Path, words: tuple[str, ...], limit: int) -> int:
    """CLIP's byte-level tokenizer in which each of the words is one token; returns its size.

    limit: tokens that the model takes.
    """
    letters = sorted(ByteLevel.alphabet())
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[str] = []
    for word in words:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merge = f"{parts[0]} {parts[1]}"
            parts = [parts[0] + parts[1], *parts[2:]]
            if merge not in merges:
                merges.append(merge)
                vocabulary.append(parts[0])
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary += [start, end]
    _write(folder / "vocab.json", {token: index for index, token in enumerate(vocabulary)})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    names = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": limit, **names}
    _write(folder / "tokenizer_config.json", settings)
    return len(vocabulary)


def start_afresh(model: nn.Module) -> None:
    """Give a narrow model weights that let signals through: transformers' own are far too faint."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding | nn.modules.conv._ConvNd):
            module.reset_parameters()


def make_grounding_dino(folder: Path, is_mm: bool = False) -> None:
    """A Grounding DINO, or an MM Grounding DINO, of two layers."""
    backbone = tf.SwinConfig(
        image_size=64,
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )
    text = tf.BertConfig(
        vocab_size=_FIRST_WORD + len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    config_class = tf.MMGroundingDinoConfig if is_mm else tf.GroundingDinoConfig
    config = config_class(
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        num_queries=40,
        max_text_len=48,
    )
    name = "MMGroundingDinoForObjectDetection" if is_mm else "GroundingDinoForObjectDetection"
    torch.manual_seed(1)
    model = getattr(tf, name)(config)
    # transformers starts with heads that move no box, and with a bias against finding anything.
    for name, parameter in model.named_parameters():
        if "bbox_embed" in name or not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
        if "class_embed" in name and name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    write_bert_tokenizer(folder)
    sides = {"shortest_edge": 96, "longest_edge": 160}
    _write_image_settings(folder, "GroundingDinoImageProcessor", sides)


def make_owlv2(folder: Path) -> None:
    """An OWLv2 of two layers for images of 64 pixels."""
    folder.mkdir(parents=True)
    tokens = write_clip_tokenizer(folder, WORDS, 16)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes["num_attention_heads"] = 2
    text = {"vocab_size": tokens, "max_position_embeddings": 16, **sizes}
    ends = {"bos_token_id": tokens - 2, "eos_token_id": tokens - 1, "pad_token_id": 0}
    vision = {"image_size": 64, "patch_size": 8, **sizes}
    config = tf.Owlv2Config(text_config=text | ends, vision_config=vision, projection_dim=32)
    torch.manual_seed(2)
    model = tf.Owlv2ForObjectDetection(config)
    start_afresh(model)
    model.save_pretrained(folder)
    _write_image_settings(folder, "Owlv2ImageProcessor", {"height": 64, "width": 64})


def make_clipseg(folder: Path) -> None:
    """A CLIPSeg of four layers, of which the decoder reads the first three."""
    folder.mkdir(parents=True)
    tokens = write_clip_tokenizer(folder, WORDS, 20)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    text = {"vocab_size": tokens, "max_position_embeddings": 20, "num_hidden_layers": 1, **sizes}
    ends = {"bos_token_id": tokens - 2, "eos_token_id": tokens - 1, "pad_token_id": tokens - 1}
    vision = {"image_size": 64, "patch_size": 16, "num_hidden_layers": 4, **sizes}
    config = tf.CLIPSegConfig(
        text_config=text | ends,
        vision_config=vision,
        projection_dim=32,
        extract_layers=[0, 1, 2],
        reduce_dim=16,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        use_complex_transposed_convolution=True,
    )
    torch.manual_seed(3)
    model = tf.CLIPSegForImageSegmentation(config)
    start_afresh(model)
    model.save_pretrained(folder)
    _write_image_settings(folder, "ViTImageProcessor", {"height": 96, "width": 96})


def make_florence2(folder: Path) -> None:
    """A Florence-2 of one layer each for images of 64 pixels, whose words are mostly places."""
    folder.mkdir(parents=True)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    places = [f"<loc_{place}>" for place in range(1000)]
    marks = ["<od>", "</od>", "<poly>", "</poly>", "<sep>", "<image>"]
    tokens = [*special, *sorted(ByteLevel.alphabet())]
    _write(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    tokenizer = tf.BartTokenizerFast.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": [*places, *marks]})
    tokenizer.save_pretrained(folder)
    sizes = {"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    layers = {"encoder_layers": 1, "decoder_layers": 1}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    ends = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 512, "model_type": "bart"}
    vision = {
        "embed_dim": [8, 8, 8, 8],
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 1, 1],
        "num_groups": [1, 1, 1, 1],
        "window_size": 4,
        "projection_dim": 16,
    }
    config = tf.Florence2Config(
        text_config=text | sizes | layers | heads | ends,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    # Chosen so that its answers hold boxes, and depend on the image and the question.
    torch.manual_seed(16)
    model = tf.Florence2ForConditionalGeneration(config)
    start_afresh(model)
    model.save_pretrained(folder)
    _write(folder / "generation_config.json", {"num_beams": 3, "max_new_tokens": 40})
    _write_image_settings(folder, "CLIPImageProcessor", {"height": 64, "width": 64})


MAKERS = {
    "grounding-dino": make_grounding_dino,
    "mm-grounding-dino": lambda folder: make_grounding_dino(folder, is_mm=True),
    "owlv2": make_owlv2,
    "clipseg": make_clipseg,
    "florence2": make_florence2,
}
"""How a model of each type is made in a folder that is not there yet."""


def _write_image_settings(folder: Path, processor: str, size: dict[str, int]) -> None:
    _write(folder / "preprocessor_config.json", {"image_processor_type": processor, "size": size})


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
