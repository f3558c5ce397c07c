"""A real browser for the tests: headless Chromium, as Debian has it, driven by Playwright. It never goes online."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Dialog, Page, Route, sync_playwright

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
IS_REQUIRED = os.environ.get("REQUIRE_BROWSER", "") not in ("", "0")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page in the browser, and all that it did which a report must not do."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    @property
    def misdeeds(self) -> list[str]:
        return [*self.requests, *self.messages, *self.dialogs]


@contextmanager
def opened(browser: Browser, file: Path, *, at: datetime | None = None, **options: Any) -> Iterator[Opened]:
    """A file in a window of its own, `at` a moment; whatever else it asks for is recorded and not answered."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    found = Opened(page)

    def abort(route: Route) -> None:
        if route.request.url == file.as_uri():
            route.continue_()
        else:
            found.requests.append(route.request.url)
            route.abort()

    def dismiss(dialog: Dialog) -> None:
        found.dialogs.append(dialog.message)
        dialog.dismiss()

    context.route("**/*", abort)
    page.on("console", lambda message: found.messages.append(message.text))
    page.on("pageerror", lambda error: found.messages.append(str(error)))
    page.on("dialog", dismiss)
    if at:
        page.clock.set_fixed_time(at)
    page.goto(file.as_uri())
    if options.get("java_script_enabled", True):
        page.locator("#plain").wait_for(state="hidden")  # the script has done what it does at first
    yield found
    context.close()
