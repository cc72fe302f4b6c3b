"""The receipt's page in a real browser: it obeys its own policy, shows its style, and is printed on A4."""

import re
import shutil
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import sync_playwright

from tests.school import statements
from tests.service_process import serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
A4 = rb"/MediaBox \[0 0 59[45]\.\d+ 84[12]\.\d+\]"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_shows_its_style_and_prints_on_a4(tmp_path: Path) -> None:
    told: list[str] = []
    with serving(tmp_path, "--with-examples") as service, sync_playwright() as play:
        key = {"Authorization": f"Bearer {(tmp_path / 'first-client.key').read_text().strip()}"}
        said = statements("person:1001", ("marketing", "grant"), ("billing", "refuse"))
        receipts = httpx.post(f"{service.url}/v1/consents", json=said, headers=key).json()["receipts"]
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(extra_http_headers=key).new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        for path, sheets in zip(receipts, (2, 1), strict=True):  # six wordings are too many for one
            for language in ("en", "ja"):
                page.goto(f"{service.url}{path}?format=html&language={language}")
                assert page.evaluate("document.documentElement.lang") == language
                assert page.evaluate("getComputedStyle(document.querySelector('.said')).borderTopWidth") == "2px"
                assert page.locator("blockquote").inner_text()
                printed = page.pdf(prefer_css_page_size=True)
                assert 1 <= len(re.findall(A4, printed)) <= sheets
        browser.close()
    assert told == []
