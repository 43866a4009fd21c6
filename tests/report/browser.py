"""A real browser for those who look at pages."""

import os
import shutil
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class NoBrowserError(Exception):
    """There is none; the message says how to get one."""


@contextmanager
def chromium():
    """A headless Chromium or Chrome of this machine, as Playwright's `Browser`."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise NoBrowserError(
            "no Chromium or Chrome to look at the report with: run `make browser`, which installs "
            f"Debian's, or put one of {', '.join(NAMES)} on the PATH"
        )
    # Chromium's sandbox refuses to start as root, which a container often is.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()
