"""What a run says of itself: of which commit, and on a terminal while it trains."""

import os
import pty
import re
import subprocess
import sys

import pytest

from deepcaptcha.plugin.summary import _commit

LEARNS = """
import pytest

@pytest.mark.convergence(target=0.9, epochs=1, monitor="accuracy", p_good=0.9, p_bad=0.1)
def test_it(convergence):
    convergence.check_training(lambda seed: {"accuracy": 0.95})
"""


def test_the_commit_is_named_with_what_was_changed_since(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert _commit(tmp_path) == ""

    def git(*words):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)

    git("init", "--quiet")
    assert _commit(tmp_path) == ""  # none yet
    (tmp_path / "model.py").write_text("rate = 1\n")
    git("add", "model.py")
    git("commit", "--quiet", "--message", "one")
    commit = git("rev-parse", "--short", "HEAD").stdout.strip()
    assert _commit(tmp_path) == f", of commit {commit}"
    (tmp_path / "model.py").write_text("rate = 2\n")
    assert _commit(tmp_path) == f", of commit {commit} with changes"
    monkeypatch.setenv("PATH", "")
    assert _commit(tmp_path) == ""


@pytest.mark.integration
def test_a_terminal_shows_the_seed_that_trains_and_a_log_does_not(pytester):
    pytester.makepyfile(test_it=LEARNS)
    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest"]
    reader, writer = pty.openpty()
    with subprocess.Popen(command, stdout=writer, stderr=writer, close_fds=True) as process:
        os.close(writer)
        shown = b""
        while True:
            try:
                part = os.read(reader, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(reader)
    assert process.returncode == 0
    text = shown.decode()
    assert "\r\x1b[Ktest_it.py::test_it: seed 2000000; 2 expected, at most " in text
    assert "seed 2000001; 1 trained: 1 converged; " in text
    # Then back up behind "test_it.py ", where pytest goes on.
    assert re.search(r"\r\x1b\[K\x1b\[A\x1b\[11C(\x1b\[\d+m)?\.", text)
    assert re.search(r"\n1 hypothesis has [^\r]{,60}\r\n  \w+", text)  # folded between words
    log = pytester.runpytest_subprocess(*command[3:]).stdout.str()
    assert "seed 2000000;" not in log
    assert "\x1b[K" not in log
    assert re.search("\n1 hypothesis has .{100}", log)
