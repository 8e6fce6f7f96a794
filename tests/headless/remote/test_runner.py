"""Runs on a ComfyUI server, against a loopback server with ComfyUI's routes and answers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from headless.errors import WorkflowError
from headless.graph import Graph, parse_graph
from headless.remote.client import HttpAnswer, HttpClient
from headless.remote.runner import ServerRunner
from headless.sources.units import Source
from tests.support.fake_comfy import INFO, REFUSAL, WORKFLOW, FakeComfy, serving
from tests.support.local_runs import photo


@pytest.fixture
def comfy() -> Iterator[FakeComfy]:
    with serving() as fake:
        yield fake


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return photo(tmp_path / 'Kätzchen "1".PNG', tail=b"\r\n--picture")


def graph(**changes: Any) -> Graph:
    return parse_graph({**WORKFLOW, **changes}, "test")


def run(comfy: FakeComfy, image: Path | None, made: Graph | None = None) -> list:
    with ServerRunner(comfy.url, poll_seconds=0.001) as runner:
        return runner.run(made or graph(), "1", Source(str(image)) if image else None)


def test_an_image_goes_up_and_its_results_come_back(comfy, image):
    saved, text = run(comfy, image)
    assert (saved.node_id, saved.files[0].data) == ("4", b"output:seg:m a&b.png")
    assert saved.files[0].suffix == ".png"
    assert (text.node_id, text.files, list(text.texts)) == ("5", [], ["two masks"])
    (name,), (data,) = comfy.uploads.keys(), comfy.uploads.values()
    assert data == image.read_bytes()
    assert name.startswith("segment-anywhere/Ktzchen-1-") and name.endswith(".png")
    sent = comfy.prompts[0]
    assert sent["prompt"]["1"]["inputs"]["image"] == name and sent["client_id"]
    assert comfy.looks == 3


def test_a_large_image_goes_up_without_a_warning(comfy, image):
    large = photo(image, tail=bytes(3 * 2**20)).read_bytes()
    run(comfy, image)
    assert list(comfy.uploads.values()) == [large]


def test_other_content_under_the_same_name_gets_another_name(comfy, image):
    first = image.read_bytes()
    run(comfy, image)
    other = photo(image, "black").read_bytes()
    run(comfy, image)
    assert sorted(comfy.uploads.values()) == sorted([first, other])


def test_without_an_image_the_graph_goes_as_it_is(comfy):
    run(comfy, None)
    assert not comfy.uploads and comfy.prompts[0]["prompt"] == graph().as_prompt()


def test_what_the_server_knows_about_inputs(comfy):
    with ServerRunner(comfy.url) as runner:
        assert runner.input_spec("Segment") == INFO["Segment"]["input"]
        assert runner.input_spec("Nothing") is None
        assert [node.id for node in runner.output_nodes(graph())] == ["4", "5"]


def test_missing_node_types_are_all_named(comfy):
    odd = graph(
        **{
            "8": {"class_type": "Odd Node/2", "inputs": {}, "_meta": {"title": "One"}},
            "9": {"class_type": "Other", "inputs": {}},
        }
    )
    with ServerRunner(comfy.url) as runner, pytest.raises(WorkflowError) as caught:
        runner.check(odd)
    assert "Odd Node/2, Other" in str(caught.value) and "One (8), Other (9)" in str(caught.value)


def test_a_graph_without_output(comfy):
    lone = parse_graph({"1": WORKFLOW["1"]}, "test")
    with ServerRunner(comfy.url) as runner, pytest.raises(WorkflowError, match="no output node"):
        runner.output_nodes(lone)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            REFUSAL,
            "Point Segment (3), input 'threshold': Value 2.0 bigger than max of 1.0: threshold",
        ),
        ({"error": {"type": "x", "message": "Prompt has no outputs"}}, "Prompt has no outputs"),
        ({"error": "plain text"}, "plain text"),
        ([], "status 400"),
        (None, "status 400"),
    ],
)
def test_a_refused_graph_is_one_line(comfy, image, answer, says):
    body = b"<html>" if answer is None else json.dumps(answer).encode()
    comfy.on_prompt = lambda _: web.Response(status=400, body=body)
    with pytest.raises(WorkflowError) as caught:
        run(comfy, image)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.stops_run


def test_a_graph_that_is_refused_in_part_is_refused_and_cancelled(comfy, image):
    comfy.on_prompt = lambda body: web.json_response(
        {"prompt_id": body["prompt_id"], "number": 1, "node_errors": REFUSAL["node_errors"]}
    )
    with pytest.raises(WorkflowError, match="bigger than max"):
        run(comfy, image)
    assert [path for path, _ in comfy.cancelled] == ["/queue", "/interrupt"]


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        (
            [
                ["execution_start", {}],
                [
                    "execution_error",
                    {
                        "node_id": "3",
                        "node_type": "Segment",
                        "exception_message": "out of\nmemory\n",
                        "exception_type": "RuntimeError",
                    },
                ],
            ],
            "Point Segment (3): out of memory",
        ),
        ([["execution_error", {"node_id": "77", "node_type": "Odd"}]], "Odd: None"),
        ([["execution_interrupted", {}]], "interrupted on the server"),
        ([], "does not say why"),
    ],
)
def test_a_failed_job_is_one_line_and_the_next_may_run(comfy, image, messages, says):
    comfy.status = {"status_str": "error", "completed": False, "messages": messages}
    with pytest.raises(WorkflowError) as caught:
        run(comfy, image)
    assert says in str(caught.value) and not caught.value.stops_run


def test_a_server_that_hiccups_is_waited_for(comfy, image):
    comfy.hiccups = 10
    assert len(run(comfy, image)) == 2
    comfy.hiccups = 1000
    with pytest.raises(WorkflowError, match="lost while the job ran: status 502"):
        run(comfy, image)


def test_a_forgotten_job_ends(comfy, image):
    comfy.forgets = True
    with pytest.raises(WorkflowError, match="no longer knows the job"):
        run(comfy, image)


@pytest.mark.parametrize(
    ("filename", "says"), [("large.png", "larger than it accepts"), ("ok.png", "status 404")]
)
def test_files_that_do_not_get_through(comfy, tmp_path, filename, says):
    comfy.outputs["4"] = {"images": [{"filename": "gone.png", "subfolder": "", "type": "temp"}]}
    path = photo(tmp_path / filename)
    with pytest.raises(WorkflowError, match=says):
        run(comfy, path)


def test_an_interrupt_cancels_the_job(comfy, image, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headless.remote.runner.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(comfy, image)
    prompt_id = comfy.prompts[0]["prompt_id"]
    assert comfy.cancelled == [
        ("/queue", {"delete": [prompt_id]}),
        ("/interrupt", {"prompt_id": prompt_id}),
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nobody_is_there():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(WorkflowError) as caught, ServerRunner(url):
        pass
    message = str(caught.value)
    assert url in message and "Start it" in message and "refused" in message


@pytest.mark.parametrize(
    "answer", [404, "<html>", {"other": 1}, [], pytest.param("[" * 100_000, id="deep")]
)
def test_somebody_else_is_there(comfy, answer):
    comfy.stats = answer
    with pytest.raises(WorkflowError, match="not as ComfyUI does"), ServerRunner(comfy.url):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/",
        "127.0.0.1:8188",
        "localhost",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://host/?q=1",
        "http://host/#a",
        "",
    ],
)
def test_only_http_addresses(url):
    with pytest.raises(WorkflowError, match="expected an http or https address"):
        ServerRunner(url)


def test_a_login_goes_into_a_header_and_into_no_message(comfy):
    client = HttpClient(comfy.url.replace("http://", "http://me:s%40cret@"))
    assert client.base == comfy.url
    assert client.get_json("/system_stats") == comfy.stats
    with pytest.raises(WorkflowError) as caught:
        ServerRunner("ftp://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(comfy, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert HttpClient(comfy.url).get_json("/system_stats") == comfy.stats


def test_the_caller_may_be_inside_an_event_loop(comfy, image):
    async def inside() -> list:
        return run(comfy, image)

    assert len(asyncio.run(inside())) == 2


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_of_the_environment_is_used_for_other_machines(comfy, monkeypatch, scheme):
    monkeypatch.setenv("http_proxy", scheme + comfy.url.removeprefix("http://"))
    monkeypatch.delenv("no_proxy", raising=False)
    # Nobody has this name, so only the proxy can answer.
    assert HttpClient("http://comfy.invalid").get_json("/system_stats") == comfy.stats
    monkeypatch.setenv("no_proxy", "comfy.invalid")
    with pytest.raises(WorkflowError, match="No answer from ComfyUI at http://comfy.invalid"):
        HttpClient("http://comfy.invalid").get("/system_stats")


def test_an_answer_that_leads_elsewhere_is_not_followed(comfy):
    comfy.on_prompt = lambda _: web.Response(status=307, headers={"Location": "/queue"})
    with pytest.raises(HttpAnswer) as caught:
        HttpClient(comfy.url).post_json("/prompt", {"prompt_id": "1"})
    assert caught.value.status == 307 and not comfy.cancelled


def test_a_server_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = HttpClient(url, timeout=0.2)
        says = rf"No answer from ComfyUI at {url} \(timed out\)\. Start it"
        with pytest.raises(WorkflowError, match=says) as caught:
            client.get("/system_stats")
        assert caught.value.stops_run


@pytest.mark.parametrize("answer", [b"", b"what?\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9"])
def test_an_answer_that_is_no_http_is_one_line(answer):
    with socket.create_server(("127.0.0.1", 0)) as odd:
        threading.Thread(target=_answer_once, args=(odd, answer), daemon=True).start()
        url = f"http://127.0.0.1:{odd.getsockname()[1]}"
        with pytest.raises(WorkflowError, match=r"No answer from ComfyUI at .* \(.+\)\. Start it"):
            HttpClient(url).get("/system_stats")


def _answer_once(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    # Who gets no answer tries once more, and would wait for it.
    server.close()
    with connection:
        connection.recv(65536)
        connection.sendall(answer)


@pytest.mark.parametrize("name", ["Odd Node/2", "50%", "Späh", "a?b#c"])
def test_a_node_type_is_asked_for_by_its_whole_name(comfy, monkeypatch, name):
    monkeypatch.setitem(INFO, name, {"input": {"required": {}}, "output_node": True})
    with ServerRunner(comfy.url) as runner:
        assert runner.input_spec(name) == {"required": {}}


def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    import run_workflow

    (tmp_path / "graph.json").write_text(json.dumps(WORKFLOW))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("headless.remote.runner.time.sleep", lambda _: None)
    return run_workflow.main(["graph.json", "--out", "out", *arguments])


def test_the_command_line(comfy, image, tmp_path, monkeypatch, capsys):
    arguments = ("--image", image.name, "--server", comfy.url)
    sets = ("--set", "Point Segment.threshold=1", "--set", "3.choice=all")
    assert cli(tmp_path, monkeypatch, *arguments, *sets) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == [f"{image.stem}_mask.png", f"{image.stem}_info.txt"]
    assert written[0].read_bytes() == b"output:seg:m a&b.png"
    assert comfy.prompts[0]["prompt"]["3"]["inputs"] == {
        "image": ["1", 0],
        "threshold": 1.0,
        "choice": "all",
    }
    assert cli(tmp_path, monkeypatch, *arguments, *sets) == 0
    assert len(comfy.prompts) == 1 and capsys.readouterr().out == ""


@pytest.mark.parametrize("number", [1, 3])
def test_a_refused_graph_stops_the_command_line_at_once(
    comfy, tmp_path, monkeypatch, capsys, number
):
    names = [f"{i}.png" for i in range(number)]
    for name in names:
        photo(tmp_path / name)
    comfy.on_prompt = lambda _: web.json_response(REFUSAL, status=400)
    assert cli(tmp_path, monkeypatch, "--image", *names, "--server", comfy.url) == 2
    assert len(comfy.prompts) == 1
    assert "input 'threshold'" in capsys.readouterr().err


def test_a_server_that_is_lost_midway_stops_the_run(comfy, tmp_path, monkeypatch, capsys):
    for i in range(3):
        photo(tmp_path / f"{i}.png")

    def lose(body: dict[str, Any]) -> web.Response:
        if len(comfy.prompts) == 2:
            comfy.hiccups = 1000
        return web.json_response({"prompt_id": body["prompt_id"], "node_errors": {}})

    comfy.on_prompt = lose
    images = ("--image", "0.png", "1.png", "2.png")
    assert cli(tmp_path, monkeypatch, *images, "--server", comfy.url) == 1
    captured = capsys.readouterr()
    assert "1 of 3 were not run" in captured.err and "1.png" in captured.err
    assert len(captured.out.splitlines()) == 2


def test_an_unreachable_server_is_status_2(tmp_path, monkeypatch, capsys):
    assert cli(tmp_path, monkeypatch, "--server", f"http://127.0.0.1:{free_port()}") == 2
    assert capsys.readouterr().err.count("\n") == 1
