"""Processes that tests interrupt."""

import os
import signal
import subprocess
from contextlib import contextmanager


@contextmanager
def interruptible(command, **options):
    """Start `command` with text pipes, in a session of its own, and leave nothing of it at the end.

    Ctrl-C reaches it also where the tests themselves were started with `&` in a script: such a shell has
    them ignore the signal, and so would every process they start.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def interrupt(process, after):
    """Press Ctrl-C when a line of its standard error starts with `after`; what it wrote to standard
    output and, from then on, to standard error. A minute is more than it may take."""
    for line in process.stderr:
        if line.startswith(after):
            break
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=60)
