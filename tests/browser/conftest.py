"""A page of a real browser that may load local files only; tests that use it are skipped where there is no browser."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from watching import watched


# Playwright's event loop runs as long as the browser, and would be in the way of tests that start their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs Debian's chromium")
    # Chromium's sandbox refuses to run as root.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def console_errors() -> list[str]:
    """What the page reported; a test that expects a report takes it out of the list."""
    return []


@pytest.fixture
def page(browser: Any, console_errors: list[str]) -> Iterator[Any]:
    """An empty page; the test fails when it asks the network for anything or reports an error on its console."""
    context = browser.new_context(viewport={"width": 1100, "height": 850})
    context.set_offline(True)
    with watched(context, console_errors, "file://") as page:
        yield page
