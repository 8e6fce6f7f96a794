"""What can go wrong in the headless runner."""

from __future__ import annotations


class WorkflowError(Exception):
    """Something the user can act on; the message is one line and says what to do next.

    Args:
        message: what was found, what is accepted, and the next step.
        stops_run: True when the next image would meet the same error (the server is gone, the
            graph itself is refused), so that going on would only repeat the message.
    """

    def __init__(self, message: str, *, stops_run: bool = False) -> None:
        super().__init__(one_line(message))
        self.stops_run = stops_run


class RunnerLost(WorkflowError):
    """What runs the graphs ended or is out of reach; another one can do its work.

    Args:
        message: what was lost, why, and the next step.
        was_running: True when a graph was under way, which may be what ended it.
    """

    def __init__(self, message: str, *, was_running: bool = False) -> None:
        super().__init__(message, stops_run=True)
        self.was_running = was_running


def one_line(text: object) -> str:
    """Return the text with every run of whitespace as one blank."""
    return " ".join(str(text).split())


class PictureError(WorkflowError):
    """A picture cannot be read. The node that wanted it is named by whoever runs it."""
