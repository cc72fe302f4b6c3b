"""The docs page in a real browser that reaches nothing but the service."""

import json
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Route, sync_playwright

from tests.service_process import serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_renders_offline_and_try_it_out_of_the_check_returns_200(tmp_path: Path) -> None:
    foreign: list[str] = []
    errors: list[str] = []
    with serving(tmp_path, "--with-examples") as service, sync_playwright() as play:
        key = (tmp_path / "first-client.key").read_text().strip()

        def local_only(route: Route) -> None:
            if route.request.url.startswith((service.url, "data:")):
                route.continue_()
            else:
                foreign.append(route.request.url)
                route.abort()

        browser = play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page()
        page.route("**/*", local_only)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{service.url}/docs")
        page.get_by_text("For the office").wait_for()
        page.get_by_role("button", name="Authorize").first.click()
        page.locator(".auth-container input").fill(key)
        page.locator(".auth-container button[type=submit]").click()
        page.locator(".btn-done").click()
        operation = page.locator("[id$=-check]")
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        with page.expect_response("**/v1/check") as answered:
            operation.get_by_role("button", name="Execute").click()
        answer = answered.value
        assert answer.status == 200
        assert json.loads(answer.body())["permitted"] is False
        operation.locator(".live-responses-table").wait_for()
        browser.close()
    assert foreign == []
    assert errors == []
