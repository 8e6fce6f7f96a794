"""ImagineoAI: a form or JSON, the runs that a call names, and the name of the file."""

from __future__ import annotations

import pytest
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.providers.contract import ImageLimits
from segment_anywhere.core.providers.images import encode_picture, frame_pixels

from tests.support.asks import ask_for, run, square_image, square_mask
from tests.support.overlap import iou

PNG = encode_picture(frame_pixels(square_image()), ImageLimits()).data


def is_square(segments) -> bool:
    return iou(segments.mask(0), square_mask()) > 0.95


def test_a_run_is_associated_with_the_picture_that_is_sent(serve):
    """The vendor's form has both; its JSON is for pictures that are not sent."""
    server = serve("imagineo")
    options = {"prompt": "a", "run_id": "run-7"}
    assert is_square(run(ask_for(server, "imagineo", options)).segments)
    (received,) = server.received
    assert received.kind == "multipart/form-data"
    assert received.fields == {"image": PNG, "prompt": "a", "run_id": "run-7"}
    assert server.associated == ["run-7"]


def test_the_picture_of_an_earlier_run(serve):
    server = serve("imagineo")
    server.runs["run-7"] = PNG
    options = {"prompt": "a", "run_id": "run-7", "use_run_image": True}
    assert is_square(run(ask_for(server, "imagineo", options)).segments)
    assert server.received[0].fields == {"prompt": "a", "run_id": "run-7"}


def test_a_run_beside_an_address(serve):
    server = serve("imagineo")
    url = server.store(PNG)
    options = {"prompt": "a", "run_id": "run-7", "image_url": url}
    assert is_square(run(ask_for(server, "imagineo", options)).segments)
    assert server.received[0].fields == {"prompt": "a", "imageUrl": url, "run_id": "run-7"}


@pytest.mark.parametrize(
    ("name", "sent"), [("", "image.png"), (" my cat.png ", "my cat.png"), ("猫.png", "猫.png")]
)
def test_the_files_name(serve, name, sent):
    server = serve("imagineo")
    run(ask_for(server, "imagineo", {"prompt": "a", "filename": name}))
    assert server.received[0].file_names == {"image": sent}


@pytest.mark.parametrize("name", ["a/b.png", "a\\b.png", 'a".png', "a\nb.png", "x" * 201])
def test_a_name_that_no_file_has_is_refused(serve, name):
    server = serve("imagineo")
    with pytest.raises(InputError, match="filename: found .*; accepted is a file's name"):
        run(ask_for(server, "imagineo", {"prompt": "a", "filename": name}))
    assert server.received == []


def test_the_picture_of_no_run_is_refused(serve):
    server = serve("imagineo")
    with pytest.raises(InputError, match="use_run_image: no run is named"):
        run(ask_for(server, "imagineo", {"prompt": "a", "use_run_image": True}))
    assert server.received == []


def test_an_answer_that_says_that_there_was_no_error(serve):
    server = serve("imagineo", mode="json_url")
    result = run(ask_for(server, "imagineo", {"prompt": "a"}))
    assert is_square(result.segments)
    assert result.calls[0].info.request_id == "run-1"
