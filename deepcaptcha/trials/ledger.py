"""The record of trials: append-only JSON Lines that lose nothing that was written.

Each recording process writes a new file of its own and never reopens one; a folder of such files is
merged on reading. The first line names the format, every other line is one trial.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .trial import Identity, Trial

FORMAT = 2
"""Version of the file format that is written; it has optional fields that format 1 lacks. Both are read,
later ones are refused."""

_LEAST_FREE = 32 * 1024 * 1024  # bytes; a trial's line is a few kilobytes


class Ledger:
    """A file of trials that this process appends to.

    Opening it creates the file, so a read-only folder or a full disk is an InputError before any
    training. `append` writes a whole line at once and syncs it; what it returned from is kept
    whatever happens to the process or the machine.
    """

    def __init__(self, folder: Path) -> None:
        if _inside_installed_package(folder):
            raise InputError(f"{folder} lies inside the installed package; choose another folder")
        # Names sort by age; the rest keeps two processes on two machines apart.
        self.path = folder / f"trials-{time.time_ns()}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            if free < _LEAST_FREE:
                raise InputError(
                    f"only {free // 2**20} MiB are free in {folder}; at least "
                    f"{_LEAST_FREE // 2**20} are needed to record trials"
                )
            # Windows would write other line ends.
            binary = getattr(os, "O_BINARY", 0)
            self._file = os.open(
                self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | binary, 0o644
            )
            self._write({"deepcaptcha_ledger": FORMAT})
            _sync_folder(folder)
        except OSError as error:
            raise InputError(
                f"cannot record trials in {folder}: {error.strerror}; choose a writable folder"
            ) from None

    def append(self, trial: Trial) -> None:
        """Record one trial; InputError, with the file as it was before, if it cannot be written."""
        try:
            self._write(trial.as_dict())
        except OSError as error:
            raise InputError(f"cannot record a trial in {self.path}: {error.strerror}") from None
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the trial of {trial.name} seed {trial.seed} cannot be written as JSON ({error}); "
                "probes must return plain finite numbers, strings, lists or dicts"
            ) from None

    def close(self) -> None:
        """Close the file; it is not opened again."""
        os.close(self._file)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, record: Identity) -> None:
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError:
            # A torn line in the middle would damage the next one.
            os.ftruncate(self._file, size)
            raise


@dataclass(frozen=True)
class LedgerTrials:
    """What a ledger holds: each trial once, and one line for everything that could not be read."""

    trials: tuple[Trial, ...]
    problems: tuple[str, ...] = ()

    def of(self, name: str, recipe: str) -> dict[int, Trial]:
        """Seed -> trial of one factory and recipe; InputError where a seed has several, of other
        models, data or environments."""
        found: dict[int, Trial] = {}
        for trial in self.trials:
            if (trial.name, trial.recipe) == (name, recipe):
                if trial.seed in found:
                    raise InputError(
                        f"{name} {recipe} seed {trial.seed} was trained in several ways; give a "
                        "ledger of one state of code and environment"
                    )
                found[trial.seed] = trial
        return found


def read_ledger(source: Path) -> LedgerTrials:
    """All trials of a ledger file, or of every `*.jsonl` file in a folder; none where the folder does
    not exist yet.

    A torn last line is skipped and reported; a damaged line elsewhere is reported with its number;
    nothing else is lost. InputError for a file that cannot be read or comes from a later version.
    """
    single = source.is_file() or source.suffix == ".jsonl"
    paths = [source] if single else sorted(source.glob("*.jsonl"))
    trials: dict[str, Trial] = {}
    problems: list[str] = []
    for path in paths:
        for trial in _read_file(path, problems):
            first = trials.setdefault(trial_key(trial), trial)
            if first.weights_sha256 != trial.weights_sha256:
                problems.append(
                    f"{path}: {trial.name} {trial.recipe} seed {trial.seed} was recorded twice with "
                    "different weights at the end; the first record counts"
                )
    return LedgerTrials(tuple(trials.values()), tuple(problems))


def trial_key(trial: Trial) -> str:
    """The same for two records of the very same trial, different for any other two."""
    text = json.dumps([trial.name, trial.identity], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def find_same(trials: Sequence[Trial], identity: Identity) -> Trial | None:
    """The recorded trial with exactly this identity, if there is one."""
    return next((trial for trial in trials if trial.identity == identity), None)


def _read_file(path: Path, problems: list[str]) -> list[Trial]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"cannot read the ledger {path}: {error.strerror}") from None
    *whole, rest = lines
    if rest:
        problems.append(f"{path}: line {len(lines)} is torn and was skipped")
    trials = []
    for number, line in enumerate(whole, start=1):
        try:
            record = json.loads(line)
            if number == 1:
                _check_format(record, path)
            else:
                trials.append(Trial.from_dict(record))
        except (ValueError, TypeError, KeyError) as error:
            if isinstance(error, InputError):
                raise
            if number == 1:
                raise InputError(
                    f"{path} is not a ledger: its first line names no format"
                ) from None
            problems.append(f"{path}: line {number} is damaged and was skipped")
    return trials


def _check_format(record: Identity, path: Path) -> None:
    version = record["deepcaptcha_ledger"]
    if version not in range(1, FORMAT + 1):
        raise InputError(
            f"{path} has ledger format {version}; this version reads 1 to {FORMAT}: "
            "use the version of deepcaptcha that wrote it, or a later one"
        )


def _inside_installed_package(folder: Path) -> bool:
    return folder.resolve().is_relative_to(Path(__file__).resolve().parents[1])


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folder, and writes names down by itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
