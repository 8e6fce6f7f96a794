"""The published checkpoints: where they are, how large, under which licence, and who may have them.

Sizes and hashes are those that the publishers' own listings give.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Entry:
    """One checkpoint.

    family: name of a `families.Family`. folder: the model folder of ComfyUI it belongs in.
    repository: one of the model hub, or the https address of a folder of files. path: of the file
    in it. size: bytes. sha256: None where none is published. gated: only for users whom the
    publisher has admitted, so that it cannot be fetched from here.
    """

    family: str
    title: str
    variant: str
    folder: str
    repository: str
    path: str
    size: int
    sha256: str | None
    licence: str
    gated: bool = False

    @property
    def file(self) -> str:
        """The file's name on this machine."""
        return PurePosixPath(self.path).name

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.title} {self.variant}".strip()

    @property
    def size_text(self) -> str:
        """The size in decimal units, as file managers and hubs show it."""
        return f"{self.size / 1e9:.1f} GB" if self.size >= 1e9 else f"{self.size / 1e6:.0f} MB"


def _sam(variant: str, file: str, size: int, sha256: str) -> Entry:
    repository = "https://dl.fbaipublicfiles.com/segment_anything"
    return Entry("sam", "SAM", variant, "sams", repository, file, size, sha256, "Apache-2.0")


def _sam2(variant: str, file: str, size: int, sha256: str) -> Entry:
    repository = f"facebook/{file.removesuffix('.pt').replace('_', '-')}"
    return Entry("sam2", "SAM 2.1", variant, "sam2", repository, file, size, sha256, "Apache-2.0")


CATALOGUE = (
    _sam2(
        "tiny",
        "sam2.1_hiera_tiny.pt",
        156_008_466,
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    ),
    _sam2(
        "small",
        "sam2.1_hiera_small.pt",
        184_416_285,
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
    ),
    _sam2(
        "base+",
        "sam2.1_hiera_base_plus.pt",
        323_606_802,
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    ),
    _sam2(
        "large",
        "sam2.1_hiera_large.pt",
        898_083_611,
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
    ),
    Entry(
        "edgetam",
        "EdgeTAM",
        "",
        "sam2",
        "facebook/EdgeTAM",
        "edgetam.pt",
        56_116_523,
        "ed2d4850b8792c239689b043c47046ec239b6e808a3d9b6ae676c803fd8780df",
        "Apache-2.0",
    ),
    Entry(
        "sam3",
        "SAM 3.1",
        "fp16",
        "sam3",
        "Comfy-Org/sam3.1",
        "checkpoints/sam3.1_multiplex_fp16.safetensors",
        1_745_546_848,
        "9ba99c92703c2e8b4f47de2d34a539bb8e18923049e238b780d70dbe6368eb03",
        "SAM License",
    ),
    Entry(
        "sam3",
        "SAM 3.1",
        "fp32",
        "sam3",
        "facebook/sam3.1",
        "sam3.1_multiplex.pt",
        3_502_755_717,
        "0567debeec80ba4ac6369540c6c248025283cb3ff2b92827509e57e2b3541cb6",
        "SAM License",
        gated=True,
    ),
    Entry(
        "sam3",
        "SAM 3",
        "fp32",
        "sam3",
        "facebook/sam3",
        "sam3.pt",
        3_450_062_241,
        "9999e2341ceef5e136daa386eecb55cb414446a00ac2b55eb2dfd2f7c3cf8c9e",
        "SAM License",
        gated=True,
    ),
    Entry(
        "sam_hq",
        "HQ-SAM",
        "ViT-H",
        "sams",
        "lkeab/hq-sam",
        "sam_hq_vit_h.pth",
        2_570_940_653,
        "a7ac14a085326d9fa6199c8c698c4f0e7280afdbb974d2c4660ec60877b45e35",
        "Apache-2.0",
    ),
    _sam(
        "ViT-B",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    _sam(
        "ViT-L",
        "sam_vit_l_0b3195.pth",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam(
        "ViT-H",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
)
