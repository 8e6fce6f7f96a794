"""What goes wrong is said where it happens, in words that help, and harms no later run."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from .api import Refused
from .graphs import BUILT_IN, node, point_segment

pytestmark = pytest.mark.xdist_group("comfyui")


def failed(api, graph: dict, node_id: str = "segment") -> str:
    """Run a graph that must fail at a node; returns the message, and tries a good run after it."""
    run = api.run(graph)
    assert run.status == "error"
    assert run.messages["execution_error"]["node_id"] == node_id
    return run.error


@pytest.fixture(autouse=True)
def _the_next_run_is_fine(api, square):
    yield
    api.succeed(point_segment(square, [[70, 50]]))


def test_a_point_outside_the_image(api, square):
    message = failed(api, point_segment(square, [[70, 50], [500, 60]]))
    assert "point 1 at (500, 60)" in message
    assert "160" in message and "120" in message


def test_no_path_comes_before_a_message(api, square):
    """A toast of the frontend begins with the type."""
    run = api.run(point_segment(square, [[500, 60]]))
    assert run.messages["execution_error"]["exception_type"] == "InputError"


def test_who_wants_to_be_asked_before_a_download_is(api, square):
    """The setting, as the frontend stores it; the tests' ComfyUI has no network."""
    graph = point_segment(square, [[70, 50]], model="sams/sam_vit_b_01ec64.pth")
    setting = "SegmentAnywhere.Downloads.AskFirst"
    try:
        for asks, says in ((True, "To allow it, turn off"), (False, "HF_HUB_OFFLINE is set")):
            api.http.post_json(f"/settings/{setting}", asks)
            assert says in failed(api, graph, "sam")
    finally:
        api.http.post_json(f"/settings/{setting}", False)


def test_a_box_outside_the_image(api, square):
    graph = point_segment(square, "", bboxes=["box", 0])
    graph["box"] = node("PrimitiveBoundingBox", x=300, y=20, width=50, height=50)
    message = failed(api, graph)
    assert message.startswith("bboxes:")
    assert "lies outside the image" in message
    assert "160" in message and "120" in message


def test_points_that_are_no_json(api, square):
    message = failed(api, point_segment(square, "[[70, 50]"))
    assert message.startswith("points: not valid JSON")
    assert "Accepted: [[x, y], ...]" in message


def test_points_of_another_shape(api, square):
    message = failed(api, point_segment(square, [[70, 50, 1]]))
    assert "points[0]" in message
    assert "Accepted" in message


def test_negative_points_only(api, square):
    message = failed(api, point_segment(square, [{"x": 70, "y": 50, "label": 0}]))
    assert "object 1 has only negative prompts" in message


@pytest.mark.parametrize("model", ["sam2/nowhere.pt", "nowhere", "sam2/../../comfyui.log", ""])
def test_an_unknown_model_is_refused_with_the_choices(api, square, model):
    with pytest.raises(Refused) as refusal:
        api.queue(point_segment(square, [[70, 50]], model=model))
    (message,) = refusal.value.messages("sam")
    assert message.startswith("Custom validation failed for node: model")
    assert f"{model} is not on this machine" in message
    assert BUILT_IN in message
    assert "sam2/parity.pt" in message


def test_an_unknown_precision_is_refused(api, square):
    with pytest.raises(Refused) as refusal:
        api.queue(point_segment(square, [[70, 50]], precision="fp8"))
    (message,) = refusal.value.messages("sam")
    assert "fp8" in message


def test_an_unknown_mask_choice_is_refused(api, square):
    with pytest.raises(Refused) as refusal:
        api.queue(point_segment(square, [[70, 50]], mask_choice="second"))
    (message,) = refusal.value.messages("segment")
    assert "second" in message


def test_a_web_page_in_place_of_weights(api, square, comfy):
    path = comfy.models / "sam2" / "broken.pt"
    path.write_text("<!DOCTYPE html><html><title>404</title></html>")
    message = failed(api, point_segment(square, [[70, 50]], model="sam2/broken.pt"))
    assert "broken.pt" in message
    assert "web page" in message


def test_a_file_that_was_cut_off(api, square, comfy):
    whole = (comfy.models / "sam2" / "parity.pt").read_bytes()
    (comfy.models / "sam2" / "cut.pt").write_bytes(whole[: len(whole) // 2])
    message = failed(api, point_segment(square, [[70, 50]], model="sam2/cut.pt"))
    assert "cut.pt" in message
    assert "download it again" in message.lower()


def test_weights_of_something_else(api, square, comfy):
    save_file({"lora.weight": torch.zeros(2)}, comfy.models / "sam2" / "other.safetensors")
    message = failed(api, point_segment(square, [[70, 50]], model="sam2/other.safetensors"))
    assert "other.safetensors" in message
    assert "lora.weight" in message


def test_a_repaired_file_is_read_anew(api, square, comfy):
    """The same name, the same graph: only the file is another one."""
    path = comfy.models / "sam2" / "repaired.pt"
    path.write_text("<html>")
    graph = point_segment(square, [[70, 50]], model="sam2/repaired.pt")
    assert "web page" in failed(api, graph)
    path.write_bytes((comfy.models / "sam2" / "parity.pt").read_bytes())
    api.succeed(graph)


def test_boxes_for_another_number_of_images(api, square):
    """Boxes made from two images, for a batch of three."""
    graph = point_segment(["three", 0], "", bboxes=["first", 2])
    graph["image"] = node("LoadImage", image=square)
    graph["two"] = node("RepeatImageBatch", image=["image", 0], amount=2)
    graph["three"] = node("RepeatImageBatch", image=["image", 0], amount=3)
    graph["first"] = node(
        "SegmentAnywherePoint",
        model=["sam", 0],
        image=["two", 0],
        points="[[70, 50]]",
        mask_choice="best",
    )
    message = failed(api, graph)
    assert "found 2 lists of boxes for 3 images" in message
