"""The models that Load SAM can download: where they are, how large, under which licence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One downloadable checkpoint.

    folder: the model folder of ComfyUI it belongs in. size: bytes. sha256: as published by the
    repository, None where it publishes none.
    """

    title: str
    folder: str
    repository: str
    file: str
    size: int
    sha256: str | None
    licence: str
    prompts: str


def _sam2(size_name: str, title: str, size: int, sha256: str) -> Entry:
    return Entry(
        title=f"SAM 2.1 {title}",
        folder="sam2",
        repository=f"facebook/sam2.1-hiera-{size_name.replace('_', '-')}",
        file=f"sam2.1_hiera_{size_name}.pt",
        size=size,
        sha256=sha256,
        licence="Apache-2.0",
        prompts="points, boxes, mask",
    )


CATALOGUE = (
    _sam2(
        "tiny",
        "tiny",
        156_008_466,
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    ),
    _sam2(
        "small",
        "small",
        184_416_285,
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
    ),
    _sam2(
        "base_plus",
        "base+",
        323_606_802,
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    ),
    _sam2(
        "large",
        "large",
        898_083_611,
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
    ),
)
