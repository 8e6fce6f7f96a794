"""The one exception of the headless runner."""

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


def one_line(text: object) -> str:
    """Return the text with every run of whitespace as one blank."""
    return " ".join(str(text).split())
