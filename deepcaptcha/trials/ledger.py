"""The record of trials: append-only JSON Lines that lose nothing that was written.

Each recording process writes a new file of its own and never reopens one; a folder of such files is
merged on reading. The first line names the format, every other line is one trial. Each carries the
digest of the line before it and, last, that of its own bytes: what was changed, removed or moved since
is noticed by whoever reads it; that lines were cut off at the end is not.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import InputError, sync_folder
from .trial import Identity, Trial

FORMAT = 3
"""Version of the file format that is written. Formats 1 and 2, without digests, are read too, later ones
are refused."""

_LEAST_FREE = 32 * 1024 * 1024  # bytes; a trial's line is a few kilobytes
_MOST_TOLD = 5  # damaged lines of a file, by number
_BEGIN = b'{"previous":"'
_LINE = b',"digest":"', b'"}\n'

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
"""What reading JSON, and making of it what it is to be, raises where it is something else."""

Seal = tuple[bytes, bytes]
"""What stands before and after a digest at the end of a record."""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


class Ledger:
    """A file of trials that this process appends to.

    Opening it creates the file, so a read-only folder or a full disk is an InputError before any
    training. `append` writes a whole line at once, syncs it and reads it back; what it returned from is
    kept whatever happens to the process or the machine.

    - `last`: the digest of the last line. `problems`: what happened to the file meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        if _inside_installed_package(folder):
            raise InputError(f"{folder} lies inside the installed package; choose another folder")
        self.last = ""
        self.problems: tuple[str, ...] = ()
        self._folder, self._count, self._size = folder, 0, 0
        try:
            self.path, self._file = _new_file(folder)
            self._write({"deepcaptcha_ledger": FORMAT, "file": self.path.name})
        except OSError as error:
            raise InputError(
                f"cannot record trials in {folder}: {error.strerror}; choose a writable folder"
            ) from None

    def append(self, trial: Trial) -> None:
        """Record one trial; InputError, with the file as it was before, if it cannot be written.

        Where the file is gone, with its folder or the disk it was on, all that this process recorded
        in it is written again into a new one, which is told among the `problems`.
        """
        try:
            record = trial.as_dict()
            Trial.from_dict(json.loads(json.dumps(record, allow_nan=False)))  # as it will be read
        except UNREADABLE as error:
            raise InputError(
                f"the trial of {trial.name} seed {trial.seed} cannot be written as JSON ({error}); "
                "probes must return plain finite numbers, strings, lists or dicts"
            ) from None
        try:
            self._write(record)
        except OSError as error:
            raise InputError(f"cannot record a trial in {self.path}: {error.strerror}") from None
        self._count += 1

    def close(self) -> None:
        """Close the file; it is not opened again."""
        os.close(self._file)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, record: Identity) -> None:
        body = json.dumps({"previous": self.last, **record}, allow_nan=False, separators=(",", ":"))
        line, digest = sealed(body[:-1].encode(), _LINE)
        size = os.fstat(self._file).st_size
        try:
            _write_whole(self._file, line)
        except OSError:
            # A torn line in the middle would damage the next one.
            os.ftruncate(self._file, size)
            raise
        self.last = digest
        if _reads_back(self.path, self._size, line):
            self._size += len(line)
        else:
            self._save_elsewhere()

    def _save_elsewhere(self) -> None:
        """Write all that the open file holds, and its path does not lead to any more, to a new one."""
        os.lseek(self._file, 0, os.SEEK_SET)  # what is written goes to the end all the same
        held = os.read(self._file, os.fstat(self._file).st_size)
        old = self.path
        try:
            path, file = _new_file(self._folder)
            _write_whole(file, held)
        except OSError as error:
            raise InputError(
                f"{old} was removed or replaced while trials were recorded, and cannot be written "
                f"again ({error.strerror}): its {self._count} trials are lost"
            ) from None
        if not _reads_back(path, 0, held):
            raise InputError(
                f"what is written to {path} cannot be read back; choose another folder"
            )
        os.close(self._file)
        self.path, self._file, self._size = path, file, len(held)
        self.problems += (
            f"{old} was removed or replaced while trials were recorded; what is left of it is written "
            f"again to {path}",
        )


def _new_file(folder: Path) -> tuple[Path, int]:
    """A new empty file in a folder that has room, open for appending."""
    # Names sort by age; the rest keeps two processes on two machines apart.
    path = folder / f"trials-{time.time_ns()}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        raise InputError(
            f"only {free // 2**20} MiB are free in {folder}; at least {_LEAST_FREE // 2**20} are "
            "needed to record trials"
        )
    # Windows would write other line ends.
    how = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)
    file = os.open(path, how, 0o644)
    sync_folder(folder)
    return path, file


def _write_whole(file: int, line: bytes) -> None:
    if os.write(file, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file)


def _reads_back(path: Path, place: int, line: bytes) -> bool:
    """Whether whoever opens the file now finds the line at its place, and nothing behind it."""
    try:
        with path.open("rb") as file:
            file.seek(place)
            return file.read(len(line) + 1) == line
    except OSError:
        return False


def sealed(body: bytes, seal: Seal) -> tuple[bytes, str]:
    """A record that begins with `body` and ends with the SHA-256 of it; and that."""
    digest = hashlib.sha256(body).hexdigest()
    return body + seal[0] + digest.encode() + seal[1], digest


def digest_of(record: bytes, seal: Seal) -> str:
    """The digest that a record ends with; empty where it has none, or is not as it was written."""
    body, _, end = record.rpartition(seal[0])
    digest = hashlib.sha256(body).hexdigest()
    return digest if end == digest.encode() + seal[1] else ""


@dataclass(frozen=True)
class LedgerTrials:
    """What a ledger holds: each trial once, and one line for everything that could not be read."""

    trials: tuple[Trial, ...]
    problems: tuple[str, ...] = ()

    def of(self, name: str, recipe: str) -> dict[int, Trial]:
        """Seed -> trial of one factory and recipe; InputError where a seed has several, of other
        models, data or environments."""
        found: dict[int, Trial] = {}
        for trial in self._rows.get((name, recipe), ()):
            if trial.seed in found:
                raise InputError(
                    f"{name} {recipe} seed {trial.seed} was trained in several ways; give a "
                    "ledger of one state of code and environment"
                )
            found[trial.seed] = trial
        return found

    @cached_property
    def _rows(self) -> dict[tuple[str, str], list[Trial]]:
        rows: dict[tuple[str, str], list[Trial]] = {}
        for trial in self.trials:
            rows.setdefault((trial.name, trial.recipe), []).append(trial)
        return rows


def read_ledger(source: Path) -> LedgerTrials:
    """All trials of a ledger file, or of every `*.jsonl` file in a folder; none where the folder does
    not exist yet.

    A line that was torn or changed is skipped and told with its number, that lines are missing or moved
    is told once a file, that trials have no digest once; nothing else is lost. InputError for a single
    file that cannot be read, is no ledger or comes from a later version; in a folder, such a file is
    told too.
    """
    single = source.is_file() or source.suffix == ".jsonl"
    trials: dict[str, Trial] = {}
    problems: list[str] = []
    again: list[str] = []
    unsigned = 0
    for path in [source] if single else sorted(source.glob("*.jsonl")):
        try:
            found = _read_file(path)
        except InputError as error:
            if single:
                raise
            problems.append(f"{error}; it was left out")
            continue
        problems += found.problems
        unsigned += 0 if found.signed else len(found.trials)
        for trial in found.trials:
            key = trial_key(trial)
            if trials.setdefault(key, trial).weights_sha256 != trial.weights_sha256:
                trials[key] = trial  # by the code as it is now, if no digest tells it apart
                again.append(f"{trial.name} {trial.recipe} seed {trial.seed}")
    if again:
        more = f", like {len(again) - 1} more," if len(again) > 1 else ""
        problems.append(
            f"{source}: {again[0]}{more} was recorded twice with different weights at the end; the last "
            "record counts"
        )
    if unsigned:
        problems.append(
            f"{source}: {unsigned} of its trials are unsigned, recorded by an earlier version: a change "
            "in them cannot be noticed"
        )
    return LedgerTrials(tuple(trials.values()), tuple(problems))


def read_full_ledger(source: Path) -> LedgerTrials:
    """As `read_ledger`; InputError where there is no trial to be had."""
    found = read_ledger(source)
    if not found.trials:
        told = "".join(f"; {problem}" for problem in found.problems)
        raise InputError(f"the ledger {source} holds no trials; give a study's ledger folder{told}")
    return found


def trial_key(trial: Trial) -> str:
    """The same for two records of the very same trial, different for any other two."""
    text = json.dumps([trial.name, trial.identity], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def find_same(trials: Sequence[Trial], identity: Identity) -> Trial | None:
    """The recorded trial with exactly this identity, if there is one."""
    return next((trial for trial in trials if trial.identity == identity), None)


@dataclass
class _File:
    """A file as far as it has been read."""

    path: Path
    signed: bool
    trials: list[Trial] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    damaged: int = 0

    def skip(self, number: int, how: str = "damaged", whole: int = 0) -> None:
        self.damaged += 1
        if self.damaged <= _MOST_TOLD:
            left = "was skipped" if not whole else "what is whole of it counts"
            self.problems.append(f"{self.path}: line {number} is {how} and {left}")

    def read(self, number: int, line: bytes) -> str | None:
        """The trial of a line joins the others; the digest of the line before it."""
        try:
            record: dict[str, Any] = _DECODER.decode(line.decode())
            previous = str(record.pop("previous")) if self.signed else ""
            if self.signed:
                del record["digest"]
            if "deepcaptcha_ledger" not in record:
                self.trials.append(Trial.from_dict(record))
            return previous
        except UNREADABLE:
            self.skip(number)
            return None


def _read_file(path: Path) -> _File:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"cannot read the ledger {path}: {error.strerror}") from None
    *whole, rest = lines
    found = _File(path, signed=True)
    if whole and _old_format(whole[0], path):
        found.signed = False
        for number, line in enumerate(whole[1:], start=2):
            found.read(number, line)
        if rest:
            found.skip(len(lines), "torn")
    else:
        _read_signed(found, [line + b"\n" for line in whole], rest)
    if (more := found.damaged - _MOST_TOLD) > 0:
        found.problems.append(f"{path}: {more} more lines are damaged and were skipped")
    return found


def _old_format(line: bytes, path: Path) -> bool:
    """Whether a first line is that of a file without digests; InputError for a later format, unless the
    line is one of ours, and damaged."""
    try:
        record = json.loads(line)
        version = record["deepcaptcha_ledger"]
    except UNREADABLE:
        return False
    changed = line.startswith(_BEGIN) and not digest_of(line + b"\n", _LINE)
    if changed or type(version) is not int or version == FORMAT:
        return False
    if version not in range(1, FORMAT):
        raise InputError(
            f"{path} has ledger format {version}; this version reads 1 to {FORMAT}: "
            "use the version of deepcaptcha that wrote it, or a later one"
        )
    return True


def _read_signed(found: _File, lines: Sequence[bytes], rest: bytes) -> None:
    """Read lines with digests; InputError where none of them has one."""
    last: str | None = ""  # the digest of the line before; None where that line is damaged
    gap = intact = 0
    for number, line in enumerate([*lines, *([rest] if rest else [])], start=1):
        pieces = [line]
        if not digest_of(line, _LINE):
            pieces, last = list(_whole_records(line)), None
            found.skip(number, "damaged" if line.endswith(b"\n") else "torn", len(pieces))
        for piece in pieces:
            intact += 1
            previous = found.read(number, piece)
            if not gap and None not in (previous, last) and previous != last:
                gap = number
            last = digest_of(piece, _LINE)
    if lines and not intact:
        raise InputError(f"{found.path} is not a ledger: its first line names no format")
    if gap:
        found.problems.append(
            f"{found.path}: lines are missing or moved before line {gap}; all others count"
        )


def _whole_records(line: bytes) -> Iterator[bytes]:
    """What is left whole of a line whose last bytes, or those of the one before, were changed or cut."""
    for piece in re.split(b"(?=" + re.escape(_BEGIN) + b")", line):
        found = re.match(b".*" + re.escape(_LINE[0]) + b"[0-9a-f]{64}", piece, re.DOTALL)
        if found and digest_of(record := found[0] + _LINE[1], _LINE):
            yield record


def _inside_installed_package(folder: Path) -> bool:
    return folder.resolve().is_relative_to(Path(__file__).resolve().parents[1])
