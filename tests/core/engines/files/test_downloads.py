"""Downloads, from a loopback server that behaves like the model hub."""

from __future__ import annotations

from dataclasses import replace

import pytest
from segment_anywhere.core.engines.files.catalogue import CATALOGUE
from segment_anywhere.core.engines.files.downloads import download, url
from segment_anywhere.core.errors import DownloadError

from tests.support.model_hub import CONTENT, ENTRY, FILE, FOLDER, Interrupted, ignore


def test_a_file_arrives_whole(hub, tmp_path):
    seen = []
    path = download(ENTRY, tmp_path / "sam2", lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "sam2" / "test.pt"
    assert path.read_bytes() == CONTENT
    assert [item.name for item in path.parent.iterdir()] == ["test.pt"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert hub.requests == [("/someone/sam-test/resolve/main/weights/test.pt", None)]


def test_what_is_fetched_is_told_before_the_server_has_answered(hub, tmp_path):
    """And goes no further where the user interrupts it then."""
    (tmp_path / "test.pt.part").write_bytes(CONTENT[:1000])
    asked = []

    def stop(done: int, total: int) -> None:
        asked.append((done, total, list(hub.requests)))
        raise Interrupted

    with pytest.raises(Interrupted):
        download(ENTRY, tmp_path, stop)
    assert asked == [(1000, len(CONTENT), [])]
    assert hub.requests == []


def _interrupt(done: int, total: int) -> None:
    if done:
        raise Interrupted


def test_an_interrupted_download_goes_on_where_it_stopped(hub, tmp_path):
    with pytest.raises(Interrupted):
        download(ENTRY, tmp_path, _interrupt)
    part = tmp_path / "test.pt.part"
    done = part.stat().st_size
    assert 0 < done < len(CONTENT)
    assert not (tmp_path / "test.pt").exists()
    assert download(ENTRY, tmp_path, ignore).read_bytes() == CONTENT
    assert hub.requests[-1][1] == f"bytes={done}-"
    assert not part.exists()


def test_a_server_without_ranges_sends_it_all_again(hub, tmp_path):
    (tmp_path / "test.pt.part").write_bytes(b"old")
    hub.ignores_ranges = True
    assert download(ENTRY, tmp_path, ignore).read_bytes() == CONTENT


def test_a_cut_connection_keeps_what_came(hub, tmp_path):
    hub.cut_after = 1_500_000
    with pytest.raises(DownloadError, match="queue again to continue|connection failed"):
        download(ENTRY, tmp_path, ignore)
    assert (tmp_path / "test.pt.part").stat().st_size <= 1_500_000
    hub.cut_after = None
    assert download(ENTRY, tmp_path, ignore).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!doctype html>" + CONTENT[15:], "a web page"),
        (b"x" + CONTENT[1:], "not the published file"),
        (CONTENT + b"more", "not the published file"),
        (b"short", "after 5 of"),
    ],
    ids=["a page", "another file", "too long", "too short"],
)
def test_wrong_content_never_gets_the_files_name(content, message, hub, tmp_path):
    hub.content = content
    with pytest.raises(DownloadError, match=message):
        download(ENTRY, tmp_path, ignore)
    assert not (tmp_path / "test.pt").exists()


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_refusal_says_what_to_do_by_hand(status, hub, tmp_path):
    hub.status = status
    with pytest.raises(DownloadError) as caught:
        download(ENTRY, tmp_path, ignore)
    message = str(caught.value)
    assert f"answered {status}" in message
    assert url(ENTRY, FILE) in message
    assert str(tmp_path / "test.pt") in message
    assert "grabcut (built in)" in message


@pytest.mark.parametrize(("status", "hints"), [(401, True), (403, True), (404, False)])
def test_a_refusal_that_a_login_may_mend_says_so(status, hints, hub, tmp_path):
    hub.status = status
    with pytest.raises(DownloadError) as caught:
        download(ENTRY, tmp_path, ignore)
    assert ("HF_TOKEN" in str(caught.value)) == hints


def test_a_login_goes_to_the_hub_and_to_nobody_else(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.passes_on = True
    assert download(ENTRY, tmp_path, ignore).read_bytes() == CONTENT
    assert hub.logins == ["Bearer hf_secret", None]


def test_a_login_never_goes_to_an_address_outside_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    outside = replace(ENTRY, repository=url(ENTRY, FILE).partition("/someone")[0] + "/files")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert download(outside, tmp_path, ignore).read_bytes() == CONTENT
    assert hub.requests == [("/files/weights/test.pt", None)] and hub.logins == [None]


def test_no_network_at_all(monkeypatch, hub, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="connection failed.*grabcut"):
        download(ENTRY, tmp_path, ignore)


@pytest.mark.parametrize("value", ["1", "true", "ON", "Yes"])
def test_offline_asks_nobody(value, monkeypatch, hub, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        download(ENTRY, tmp_path, ignore)
    assert hub.requests == []
    assert list(tmp_path.iterdir()) == []


def test_the_hubs_own_cache_is_used(hub, tmp_path):
    repository = tmp_path / "hub" / "hub" / "models--someone--sam-test"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    (snapshot / "weights").mkdir()
    (snapshot / "weights" / "test.pt").write_bytes(CONTENT)
    assert download(ENTRY, tmp_path / "sam2", ignore) == snapshot / "weights" / "test.pt"
    assert hub.requests == []


def test_a_full_disk_is_noticed_before_the_download(hub, tmp_path):
    with pytest.raises(DownloadError, match="the disk lacks room"):
        download(replace(ENTRY, files=(replace(FILE, size=2**60),)), tmp_path, ignore)
    assert hub.requests == []


def test_a_folder_that_cannot_be_written(hub, tmp_path):
    (tmp_path / "sam2").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(ENTRY, tmp_path / "sam2", ignore)


def test_an_endpoint_without_scheme(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "hf-mirror.com")
    with pytest.raises(DownloadError, match="must begin with https://, found hf-mirror.com"):
        download(ENTRY, tmp_path, ignore)


def test_without_a_published_hash_the_size_is_checked(hub, tmp_path):
    entry = replace(ENTRY, files=(replace(FILE, sha256=None),))
    assert download(entry, tmp_path, ignore).read_bytes() == CONTENT


def test_the_default_hub_is_the_public_one(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert url(CATALOGUE[0], CATALOGUE[0].files[0]) == (
        "https://huggingface.co/facebook/sam2.1-hiera-tiny/resolve/main/sam2.1_hiera_tiny.pt"
    )


def test_files_outside_the_hub_have_their_own_address(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    entry = replace(ENTRY, repository="https://files.example/models")
    assert url(entry, FILE) == "https://files.example/models/weights/test.pt"


SAM = next(entry for entry in CATALOGUE if entry.name == "SAM ViT-B")
SMALL_SAM = replace(SAM, files=(replace(FILE, path=SAM.file),))


@pytest.mark.parametrize(
    ("mirror", "host"),
    [
        (None, "https://dl.fbaipublicfiles.com"),
        ("", "https://dl.fbaipublicfiles.com"),
        ("https://mirror.example", "https://mirror.example"),
        ("https://mirror.example/meta/", "https://mirror.example/meta"),
    ],
)
def test_where_sam_comes_from(mirror, host, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    monkeypatch.delenv("SEGMENT_ANYWHERE_SAM_ENDPOINT", raising=False)
    if mirror is not None:
        monkeypatch.setenv("SEGMENT_ANYWHERE_SAM_ENDPOINT", mirror)
    assert url(SAM, SAM.files[0]) == f"{host}/segment_anything/sam_vit_b_01ec64.pth"
    assert url(ENTRY, FILE).startswith("https://hub.example/")


def test_the_mirror_of_sam_gets_no_login_and_is_not_trusted(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("SEGMENT_ANYWHERE_SAM_ENDPOINT", hub.url)
    assert download(SMALL_SAM, tmp_path, ignore).read_bytes() == CONTENT
    assert hub.requests == [(f"/segment_anything/{SAM.file}", None)] and hub.logins == [None]
    other = replace(SMALL_SAM, files=(replace(SMALL_SAM.files[0], sha256="0" * 64),))
    with pytest.raises(DownloadError, match="not the published file"):
        download(other, tmp_path / "other", ignore)
    assert list((tmp_path / "other").glob("*.pth")) == []


def test_a_mirror_of_sam_without_scheme(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGMENT_ANYWHERE_SAM_ENDPOINT", "mirror.example")
    with pytest.raises(DownloadError, match="SEGMENT_ANYWHERE_SAM_ENDPOINT must begin with https"):
        download(SMALL_SAM, tmp_path, ignore)
    assert hub.requests == []


def test_a_folder_arrives_whole_and_counts_as_a_model_last(hub, tmp_path):
    seen = []
    path = download(FOLDER, tmp_path, lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "detector-test"
    assert sorted(file.name for file in path.iterdir()) == ["config.json", "model.safetensors"]
    assert [each for each, _ in hub.requests] == [
        f"/someone/detector-test/resolve/c0ffee/{name}"
        for name in ("model.safetensors", "config.json")
    ]
    assert seen == sorted(seen) and seen[-1] == (FOLDER.size, FOLDER.size)


def test_a_folder_goes_on_where_it_stopped(hub, tmp_path):
    place = tmp_path / "detector-test"
    place.mkdir()
    (place / "model.safetensors").write_bytes(CONTENT)
    download(FOLDER, tmp_path, ignore)
    assert [path.rsplit("/", 1)[-1] for path, _ in hub.requests] == ["config.json"]


def test_a_folder_of_the_hubs_cache_is_used_where_it_lies(hub, tmp_path):
    repository = tmp_path / "hub" / "hub" / "models--someone--detector-test"
    snapshot = repository / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(CONTENT)
    assert download(FOLDER, tmp_path, ignore) == tmp_path / "detector-test"
    (snapshot / "config.json").write_bytes(CONTENT)
    hub.requests.clear()
    assert download(FOLDER, tmp_path, ignore) == snapshot
    assert hub.requests == []


def test_a_folder_that_cannot_be_fetched_names_all_its_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = (
        f"Detector test could not be downloaded: HF_HUB_OFFLINE is set.*save it as "
        f"{tmp_path}/detector-test/model.safetensors .the whole folder: model.safetensors, "
        "config.json., or choose another detector in Text Segment"
    )
    with pytest.raises(DownloadError, match=message):
        download(FOLDER, tmp_path, ignore)
