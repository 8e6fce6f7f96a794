"""The choices of Load SAM: what is listed, what stays valid, what counts as a change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import filelock
import folder_paths
import pytest
from segment_anywhere.core.engines.families import family_named
from segment_anywhere.core.engines.files.catalogue import CATALOGUE
from segment_anywhere.core.errors import CheckpointError, DownloadError
from segment_anywhere.nodes import model_choices as model_files
from segment_anywhere.nodes.host import folders, progress, settings
from segment_anywhere.nodes.load_sam import LoadSAM

pytestmark = pytest.mark.usefixtures("models")


def test_local_models_are_found_in_every_folder(models):
    (models / "sams").mkdir()
    (models / "sams" / "sam_vit_b.pth").touch()
    (models / "sams" / "readme.md").touch()
    nested = models / "sam2" / "mine"
    nested.mkdir()
    (nested / "tuned.safetensors").touch()
    folder = models / "sam2" / "sam2.1-hiera-tiny"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").touch()
    (models / "sam2" / "half.pt.part").touch()
    local = [option for option in model_files.options() if "download" not in option]
    assert local == [
        "sams/sam_vit_b.pth",
        "sam2/mine/tuned.safetensors",
        "sam2/random.pt",
        "sam2/sam2.1-hiera-tiny",
        "sam2/tiny",
        "grabcut (built in)",
    ]


def test_the_list_goes_from_what_is_here_to_downloads_to_what_is_built_in():
    kinds = [
        "download" if "(download" in option else "built in" if "(built in" in option else "here"
        for option in model_files.options()
    ]
    downloads = len([entry for entry in CATALOGUE if not entry.gated])
    assert kinds == ["here"] * 2 + ["download"] * downloads + ["built in"]
    assert model_files.options(model_files.DETECTOR_MODELS)[0] == "auto"


def _default() -> str:
    (default,) = (each.default for each in LoadSAM.GET_SCHEMA().inputs if each.id == "model")
    return default


def test_it_starts_on_the_best_sam_that_is_here(models):
    assert _default() == "sam2/tiny"
    (models / "sam2" / "sam2.1_hiera_small.safetensors").touch()
    assert _default() == "sam2/sam2.1_hiera_small.safetensors"
    shutil.rmtree(models / "sam2")
    assert _default() == "grabcut (built in)"


@pytest.mark.parametrize(
    "name",
    ["sams/mobile_sam.pt", "sam3/sam3.safetensors", "sam2/EfficientTAM/large.pt", "sams/mine.pt"],
)
def test_it_starts_on_nothing_that_cannot_run_or_says_not_what_it_is(name, models, monkeypatch):
    """And lists it all the same."""
    monkeypatch.setattr(model_files, "families_that_run", lambda: {"sam", "sam2"})
    shutil.rmtree(models / "sam2")
    (models / name).parent.mkdir(parents=True)
    (models / name).touch()
    assert name in model_files.options()
    assert LoadSAM.validate_inputs(name) is True
    assert _default() == "grabcut (built in)"
    (models / "sams").mkdir(exist_ok=True)
    (models / "sams" / "sam_vit_b_01ec64.pth").touch()
    assert _default() == "sams/sam_vit_b_01ec64.pth"


def test_a_name_stays_valid_when_the_file_arrives(models):
    entry = CATALOGUE[0]
    name = f"sam2/{entry.file}"
    marked = f"{name} (download, 156 MB)"
    assert marked in model_files.options()
    assert LoadSAM.validate_inputs(marked) is True
    assert LoadSAM.validate_inputs(name) is True
    before = LoadSAM.fingerprint_inputs(marked, "auto")
    path = models / "sam2" / entry.file
    with path.open("wb") as file:
        file.truncate(entry.size)
    assert name in model_files.options()
    assert marked not in model_files.options()
    assert LoadSAM.validate_inputs(marked) is True
    assert LoadSAM.validate_inputs(name) is True
    assert model_files.resolve(marked) == model_files.resolve(name)
    assert LoadSAM.fingerprint_inputs(marked, "auto") != before


def test_a_gated_file_is_used_from_disk_and_never_offered(models):
    entry = next(entry for entry in CATALOGUE if entry.gated)
    name = f"{entry.folder}/{entry.file}"
    assert not any(option.startswith(name) for option in model_files.options())
    message = LoadSAM.validate_inputs(name)
    assert f"https://huggingface.co/{entry.repository}" in message
    assert "sam3/sam3.1_multiplex_fp16.safetensors (download, 1.7 GB)" in message
    (models / entry.folder).mkdir()
    (models / entry.folder / entry.file).touch()
    assert name in model_files.options()
    assert LoadSAM.validate_inputs(name) is True


class _Stopped(Exception):
    pass


def test_the_node_says_that_another_program_downloads_its_model(models, monkeypatch, tmp_path):
    texts = []

    def show(text: str, node: str, client: str) -> None:
        texts.append((text, node, client))
        raise _Stopped

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    server = progress.PromptServer.instance
    monkeypatch.setattr(server, "send_progress_text", show, raising=False)
    monkeypatch.setattr(server, "client_id", "tab", raising=False)
    entry = CATALOGUE[0]
    node = SimpleNamespace(hidden=SimpleNamespace(unique_id="7"))
    with filelock.FileLock(models / "sam2" / f"{entry.file}.lock"), pytest.raises(_Stopped):
        model_files.fetch(entry, node)
    place = f"from 127.0.0.1:9 into {models / 'sam2'}, once"
    said = f"SAM 2.1 tiny, which another program downloads: 0 of 156 MB  \n{place}"
    assert texts == [(said, "7", "tab")]


def _ask_before_downloading(value: object) -> None:
    """What the frontend stores when the setting is changed."""
    path = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({settings.ASK_BEFORE_DOWNLOADING: value, "other": 1}))


@pytest.fixture
def user(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path / "user"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize(
    ("fetch", "asked"),
    [
        (
            lambda: LoadSAM.execute("sam2/sam2.1_hiera_tiny.pt", "auto"),
            "SAM 2.1 tiny has to be downloaded: 156 MB from huggingface.co, once.",
        ),
        (
            lambda: LoadSAM.execute("sams/sam_vit_b_01ec64.pth", "auto"),
            "SAM ViT-B has to be downloaded: 375 MB from dl.fbaipublicfiles.com, once.",
        ),
        (
            lambda: model_files.fetch_detector("auto", family_named("sam2"), LoadSAM),
            "Grounding DINO tiny has to be downloaded: 690 MB from huggingface.co, once.",
        ),
        (
            lambda: model_files.fetch_matting("auto", LoadSAM),
            "ViTMatte small has to be downloaded: 103 MB from huggingface.co, once.",
        ),
    ],
    ids=["a SAM", "of another host", "a detector", "a matting model"],
)
def test_who_wants_to_be_asked_is_told_what_where_from_and_how_to_go_on(fetch, asked):
    _ask_before_downloading(True)
    with pytest.raises(DownloadError) as caught:
        fetch()
    message = str(caught.value)
    assert message.startswith(
        f"{asked} To allow it, turn off Ask before downloading in ComfyUI's settings"
    )
    assert "by hand and save it as " in message
    _ask_before_downloading(False)
    with pytest.raises(DownloadError, match="could not be downloaded: HF_HUB_OFFLINE is set"):
        fetch()


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("text", ["", "no json", "[]", "{}"])
def test_settings_that_cannot_be_read_are_none(text):
    _ask_before_downloading(True)
    assert settings.is_on(settings.ASK_BEFORE_DOWNLOADING)
    Path(folder_paths.get_user_directory(), "default", "comfy.settings.json").write_text(text)
    assert not settings.is_on(settings.ASK_BEFORE_DOWNLOADING)


@pytest.mark.usefixtures("user")
def test_what_is_here_is_never_asked_about(models):
    _ask_before_downloading(True)
    shutil.copy(models / "sam2" / "random.pt", models / "sam2" / CATALOGUE[0].file)
    assert LoadSAM.execute(f"sam2/{CATALOGUE[0].file}", "fp32").args[0].family.name == "sam2"


def test_the_tooltip_is_three_lines():
    """The table of models is on the help page, see tests/test_pack.py."""
    (tooltip,) = (each.tooltip for each in LoadSAM.GET_SCHEMA().inputs if each.id == "model")
    assert len(tooltip) < 300


def test_a_file_named_like_the_mark_can_be_chosen(models):
    (models / "sam2" / "tiny (download).pt").touch()
    assert LoadSAM.validate_inputs("sam2/tiny (download).pt") is True


def test_a_linked_model_name_is_known_only_when_the_node_runs():
    assert LoadSAM.validate_inputs(None) is True
    assert LoadSAM.fingerprint_inputs(None, None) == (None, None)


def test_linked_folders_are_listed_and_loops_end(models, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "big.safetensors").touch()
    (elsewhere / "loop").symlink_to(elsewhere)
    (models / "sam2" / "linked").symlink_to(elsewhere)
    assert "sam2/linked/big.safetensors" in model_files.options()


@pytest.mark.parametrize("target", ["random.pt", "loop.pt", "gone.pt"])
def test_a_link_is_listed_and_says_where_it_fails(target, models):
    """Fingerprints are made before a node runs, where an error would say nothing to the user."""
    (models / "sam2" / "loop.pt").symlink_to(models / "sam2" / target)
    assert LoadSAM.validate_inputs("sam2/loop.pt") is True
    assert LoadSAM.fingerprint_inputs("sam2/loop.pt", "auto")
    handle = LoadSAM.execute("sam2/loop.pt", "fp32").args[0]
    if target == "random.pt":
        assert handle.family.name == "sam2"
        return
    with pytest.raises(CheckpointError, match=r"loop.pt: a link that leads to no file"):
        handle.segmenter()


def test_another_packs_list_of_a_folder_is_left_alone(monkeypatch):
    everything = (["/models/sams"], set())
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "sams", everything)
    folders.register_model_folders()
    assert folder_paths.folder_names_and_paths["sams"][1] == set()


def test_a_replaced_file_changes_the_fingerprint(models):
    before = LoadSAM.fingerprint_inputs("sam2/random.pt", "auto")
    (models / "sam2" / "random.pt").write_bytes(b"other")
    assert LoadSAM.fingerprint_inputs("sam2/random.pt", "auto") != before
    assert LoadSAM.fingerprint_inputs("sam2/random.pt", "fp32") != before


def test_an_unknown_model_is_refused_with_the_choices():
    message = LoadSAM.validate_inputs("sam2/gone.pt")
    assert "sam2/gone.pt is not on this machine" in message
    assert "grabcut (built in)" in message
