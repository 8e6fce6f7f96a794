"""The published models: where they are, how large, under which licence, and who may have them.

Sizes and hashes are those that the publishers' own listings give.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from ..families import family_named


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository. size: bytes. sha256: None where none is published."""

    path: str
    size: int
    sha256: str | None

    @property
    def name(self) -> str:
        """The file's name on this machine."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Entry:
    """One model: a single file, or a transformers folder of several.

    family: name of a `families.Family`. repository: one of the model hub, or the https address of a
    folder of files. files: those of a transformers folder end with config.json, by which a folder
    counts as a model: it must not come before the others. gated: only for users whom the publisher
    has admitted, so that it cannot be fetched from here. revision: the repository's branch or
    commit.
    """

    family: str
    title: str
    variant: str
    repository: str
    files: tuple[RemoteFile, ...]
    licence: str
    gated: bool = False
    revision: str = "main"

    @property
    def folder(self) -> str:
        """The model folder of ComfyUI it belongs in."""
        return family_named(self.family).folder

    @property
    def is_folder(self) -> bool:
        return len(self.files) > 1

    @property
    def file(self) -> str:
        """The name of the file, or of the folder, on this machine."""
        return PurePosixPath(self.repository if self.is_folder else self.files[0].path).name

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.title} {self.variant}".strip()

    @property
    def size_text(self) -> str:
        """The size in decimal units, as file managers and hubs show it."""
        return f"{self.size / 1e9:.1f} GB" if self.size >= 1e9 else f"{self.size / 1e6:.0f} MB"


SAM_HOST = "https://dl.fbaipublicfiles.com"
"""Where SAM's own files are: its publisher has them on no model hub."""


def _sam(variant: str, file: str, size: int, sha256: str) -> Entry:
    repository = f"{SAM_HOST}/segment_anything"
    files = (RemoteFile(file, size, sha256),)
    return Entry("sam", "SAM", variant, repository, files, "Apache-2.0")


def _sam2(variant: str, file: str, size: int, sha256: str) -> Entry:
    repository = f"facebook/{file.removesuffix('.pt').replace('_', '-')}"
    files = (RemoteFile(file, size, sha256),)
    return Entry("sam2", "SAM 2.1", variant, repository, files, "Apache-2.0")


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
        "facebook/EdgeTAM",
        (
            RemoteFile(
                "edgetam.pt",
                56_116_523,
                "ed2d4850b8792c239689b043c47046ec239b6e808a3d9b6ae676c803fd8780df",
            ),
        ),
        "Apache-2.0",
    ),
    Entry(
        "sam3",
        "SAM 3.1",
        "fp16",
        "Comfy-Org/sam3.1",
        (
            RemoteFile(
                "checkpoints/sam3.1_multiplex_fp16.safetensors",
                1_745_546_848,
                "9ba99c92703c2e8b4f47de2d34a539bb8e18923049e238b780d70dbe6368eb03",
            ),
        ),
        "SAM License",
    ),
    Entry(
        "sam3",
        "SAM 3.1",
        "fp32",
        "facebook/sam3.1",
        (
            RemoteFile(
                "sam3.1_multiplex.pt",
                3_502_755_717,
                "0567debeec80ba4ac6369540c6c248025283cb3ff2b92827509e57e2b3541cb6",
            ),
        ),
        "SAM License",
        gated=True,
    ),
    Entry(
        "sam3",
        "SAM 3",
        "fp32",
        "facebook/sam3",
        (
            RemoteFile(
                "sam3.pt",
                3_450_062_241,
                "9999e2341ceef5e136daa386eecb55cb414446a00ac2b55eb2dfd2f7c3cf8c9e",
            ),
        ),
        "SAM License",
        gated=True,
    ),
    Entry(
        "sam_hq",
        "HQ-SAM",
        "ViT-H",
        "lkeab/hq-sam",
        (
            RemoteFile(
                "sam_hq_vit_h.pth",
                2_570_940_653,
                "a7ac14a085326d9fa6199c8c698c4f0e7280afdbb974d2c4660ec60877b45e35",
            ),
        ),
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


_BERT_TOKENIZER = (
    RemoteFile(
        "tokenizer.json",
        711_396,
        "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
    ),
    RemoteFile(
        "vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    ),
    RemoteFile(
        "tokenizer_config.json",
        1_237,
        "d40ab645b68211910b9170d22433d43186a6ec8ee6fd10ba170524b25bf4fb56",
    ),
    RemoteFile(
        "special_tokens_map.json",
        125,
        "b6d346be366a7d1d48332dbc9fdf3bf8960b5d879522b7799ddba59e76237ee3",
    ),
)
_CLIP_VOCABULARY = (
    RemoteFile(
        "vocab.json", 1_059_962, "e089ad92ba36837a0d31433e555c8f45fe601ab5c221d4f607ded32d9f7a4349"
    ),
    RemoteFile(
        "merges.txt", 524_619, "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a"
    ),
)
_DINO_IMAGES = RemoteFile(
    "preprocessor_config.json",
    457,
    "8454179ba95e2ad22947835aad7b45862a601fc0055ab88bf1ee70892d3aea60",
)

GROUNDING_DINO = Entry(
    family="grounding_dino",
    title="Grounding DINO",
    variant="tiny",
    repository="IDEA-Research/grounding-dino-tiny",
    revision="a2bb814dd30d776dcf7e30523b00659f4f141c71",
    licence="Apache-2.0",
    files=(
        RemoteFile(
            "model.safetensors",
            689_359_096,
            "1a2412ef99bd74bcd3c2a246fa1e48581f8889a1300c9051974741314fc042f3",
        ),
        *_BERT_TOKENIZER,
        _DINO_IMAGES,
        RemoteFile(
            "config.json", 1_644, "eec82c5ab66e16df12a9a212e68ac011779927c2536cf9078658e35d85f0c67a"
        ),
    ),
)
CLIPSEG = Entry(
    family="clipseg",
    title="CLIPSeg",
    variant="rd64-refined",
    repository="CIDAS/clipseg-rd64-refined",
    revision="999e0328d9e10b484360c477313983f9afdd7050",
    licence="Apache-2.0",
    files=(
        RemoteFile(
            "model.safetensors",
            603_049_496,
            "d00ca85d6b859f9d07b7cfb8ef26fe9771cb275b34c9368f2ecf603139307f55",
        ),
        *_CLIP_VOCABULARY,
        RemoteFile(
            "tokenizer_config.json",
            974,
            "4c75d57fd9bd0be8478ad2d6f8b9cebdd4a45338eb108547329c2b6333476ca6",
        ),
        RemoteFile(
            "special_tokens_map.json",
            472,
            "c4864a9376a8401918425bed71fc14fc0e81f9b59ec45c1cf96cccb2df508eac",
        ),
        RemoteFile(
            "preprocessor_config.json",
            380,
            "4fb09ebcfd7651205ca8299b993c30088e5535ef350a72d46c5c4580eeac0440",
        ),
        RemoteFile(
            "config.json", 4_732, "c023375966d31b3b1392764f7bd91df47098ce19f62f11b0263d8eedcf708bcd"
        ),
    ),
)
DETECTORS = (
    GROUNDING_DINO,
    Entry(
        family="grounding_dino",
        title="Grounding DINO",
        variant="base",
        repository="IDEA-Research/grounding-dino-base",
        revision="12bdfa3120f3e7ec7b434d90674b3396eccf88eb",
        licence="Apache-2.0",
        files=(
            RemoteFile(
                "model.safetensors",
                933_400_872,
                "5548f844c928c4b6f411fa8cbcc2bfa8dbbba437cb1d513975519f93c2a9ed21",
            ),
            *_BERT_TOKENIZER,
            _DINO_IMAGES,
            RemoteFile(
                "config.json",
                1_737,
                "eda416dae6f49419ff831b1c190ec430a060b19aae688dbaf2425a075b650608",
            ),
        ),
    ),
    Entry(
        family="owlv2",
        title="OWLv2",
        variant="base",
        repository="google/owlv2-base-patch16-ensemble",
        revision="cfd3195ba4ea9592eec887ded089f4c08eff231d",
        licence="Apache-2.0",
        files=(
            RemoteFile(
                "model.safetensors",
                619_918_824,
                "e1e130b9e404cf91a75ad45644c1da9d7fa5284085eecc864266a6923efb99e7",
            ),
            *_CLIP_VOCABULARY,
            RemoteFile(
                "tokenizer_config.json",
                1_100,
                "b55cda6198e152ded427c8a9b3faf1cccf27a7fa080697a62f6ff143f511f44f",
            ),
            RemoteFile(
                "special_tokens_map.json",
                121,
                "d6e2b9cf664efbad2d22998b8d3da986abcbeed3e0825ad33605c9401f9cf73e",
            ),
            RemoteFile(
                "added_tokens.json",
                67,
                "e5dc0da35d20111e8ff3fdfc03682beca23d5f94ed74331bce81786b2636a24f",
            ),
            RemoteFile(
                "preprocessor_config.json",
                425,
                "cf3e396635b797ee1a464e1b2836e98748f8edac19e89aaa2c93b55ac15b0064",
            ),
            RemoteFile(
                "config.json",
                414,
                "ba9df8c25a4b8461887dd0a93d9252c9cd84697fe8d49a9d8794ce409af9acb2",
            ),
        ),
    ),
    CLIPSEG,
)
"""What Text Segment can download."""

# Of ViTMatte base no hash is published that a download could be checked by.
MATTING = (
    Entry(
        family="vitmatte",
        title="ViTMatte",
        variant="small",
        repository="hustvl/vitmatte-small-composition-1k",
        revision="6a58ad7646403c1df626fbd746900aec7361ea1d",
        licence="Apache-2.0",
        files=(
            RemoteFile(
                "model.safetensors",
                103_294_572,
                "bda9289db1bb6762d978b42d1c62ae3f34daf7497171a347a1d09657efd788cb",
            ),
            RemoteFile(
                "preprocessor_config.json",
                284,
                "0db558038b96a3f5c97e46d4ec8966fcc479e9aa58a391bca60b5094a5f7fee0",
            ),
            RemoteFile(
                "config.json",
                837,
                "ae1006f5a83227048b563b2e60709d4203e432b2276949ebef41a8cfeeeaf45f",
            ),
        ),
    ),
)
"""Models that find the edges of masks."""
