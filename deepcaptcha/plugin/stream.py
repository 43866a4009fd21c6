"""The trials of one verdict: run when they are asked for, ahead where there is room, within a cap, and
told on a terminal while they run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from statistics import fmean

from ..report.words import minutes_text, plural
from ..trials.runner import Reuse, Runner
from ..trials.source import Source
from ..trials.trial import Trial
from ..verdicts.claim import CappedError, Cost


@dataclass(frozen=True)
class Cap:
    """The most that one verdict may cost: trainings, and minutes after which none is begun; None: what
    its plan needs."""

    trials: int | None = None
    minutes: float | None = None

    def least(self, other: Cap) -> Cap:
        """What both allow."""
        trials = [each.trials for each in (self, other) if each.trials is not None]
        minutes = [each.minutes for each in (self, other) if each.minutes is not None]
        return Cap(min(trials, default=None), min(minutes, default=None))


@dataclass(frozen=True)
class Progress:
    """What is said of a verdict while its trials run: `show` replaces the last line, by nothing at the
    end. `cost`: of its claim, if that has a plan."""

    show: Callable[[str], None]
    test: str = ""
    cost: Cost | None = None

    def tell(self, seeds: list[int], read: list[Trial], jobs: int) -> None:
        """That these seeds train, after those that were read."""
        parts = [f"{self.test or 'convergence'}: seed {', '.join(map(str, seeds))}"]
        if read:
            counts = Counter(trial.outcome for trial in read)
            told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
            parts.append(f"{len(read)} trained: {told}")
        if self.cost is not None:
            parts.append(f"{self.cost.expected:.0f} expected, at most {self.cost.most}")
            if read:
                each = fmean(trial.seconds for trial in read) / jobs
                left = max(self.cost.expected - len(read), 1) * each
                parts.append(f"about {minutes_text(left)} more")
        self.show("; ".join(parts))


class Stream:
    """The trials of the judged seeds, run when they are asked for; where the runner has workers, the
    next ones meanwhile, which are evidence only if they are asked for too.

    - `first_seed`: of the judged ones. `reuse`: what is taken from the ledger, as for `Runner.start`.
    - `cap`: CappedError for a trial beyond it; one that has begun is waited for, and read.
    """

    def __init__(
        self,
        runner: Runner,
        source: Source,
        first_seed: int,
        *,
        reuse: Reuse = "never",
        cap: Cap = Cap(),
        progress: Progress | None = None,
        done: dict[object, Future[Trial]] | None = None,
    ) -> None:
        self._runner, self._source, self._first_seed = runner, source, first_seed
        self._reuse, self._cap = reuse, cap
        self._progress = progress
        self._abreast = runner.room
        self._began = time.monotonic()
        self._started = 0
        self._done = {} if done is None else done  # by seed

    def beside(self, first_seed: int) -> Stream:
        """The same of other seeds, none of them from the ledger; both hear what finishes."""
        return Stream(
            self._runner,
            self._source,
            first_seed,
            cap=self._cap,
            progress=self._progress,
            done=self._done,
        )

    def __call__(self, index: int) -> Trial:
        while (wanted := self._first_seed + index) not in self._done:
            while self._runner.room > 0 and self._started < index + self._abreast:
                if why := self._capped():
                    if self._started <= index:
                        raise CappedError(why)
                    break
                self._start()
            self._done.update(self._runner.finished())
        return self._done[wanted].result()

    def _start(self) -> None:
        seed = self._first_seed + self._started
        self._started += 1
        if self._progress is not None:
            read = [f.result() for f in self._done.values() if f.exception() is None]
            seeds = range(self._first_seed, seed + 1)
            running = [each for each in seeds if each not in self._done]
            self._progress.tell(running, read, self._abreast)
        self._runner.start(seed, self._source, seed, reuse=self._reuse)

    def _capped(self) -> str:
        """Why no further trial may begin; empty where it may."""
        cap = self._cap
        if cap.trials is not None and self._started >= cap.trials:
            return f"stopped after {plural(cap.trials, 'training')}"
        late = cap.minutes is not None and time.monotonic() - self._began >= 60 * cap.minutes
        return f"stopped after {cap.minutes:g} minutes" if late and self._started else ""

    def reused(self, count: int) -> list[Trial]:
        """Those of the first `count` trials that came from the ledger."""
        return [trial for trial in map(self, range(count)) if self._runner.reused(trial)]
