"""Workers of Ray's that die at the worst moment, as a crash or a kill ends them."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from headless.cluster.hands import Hands
from headless.runs import Outcome
from headless.sources.units import Job

POISON = "poison"
# A file beside the results, so that a death happens once.
PAID = "paid.once"
# Enough for all that is small, and less than half of what the test's image takes as floats.
_LEFT = 64 * 2**20


class Mortal(Hands):
    """Dies of a picture that is called poison."""

    def run(self, job: Job) -> Outcome:
        if job.stem == POISON:
            os._exit(1)
        return super().run(job)


class DeadOncePaid(Hands):
    """Dies once, when the provider's answer is there and no result is written yet."""

    def run(self, job: Job) -> Outcome:
        mark = Path(self._task.plan.folder, PAID)
        if job.source is not None and not mark.exists():
            self._runner.run(self._task.graph, self._task.image_node, job.source)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            os._exit(1)
        return super().run(job)


class Starved(Hands):
    """Has next to no memory left for a picture that is called poison."""

    def run(self, job: Job) -> Outcome:
        if job.stem != POISON:
            return super().run(job)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + _LEFT, limits[1]))
        try:
            return super().run(job)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)
