"""`make test-page`: the pages in a headless Chromium, at the width of a desk and of a phone, light and dark."""

import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from dau_lightning.report.__main__ import main
from dau_lightning.report.page import write_run_page
from tests.report.conftest import writer
from tests.report.figure.conftest import make

WIDTHS = {"desk": 1280, "phone": 390}
LONG = "a very long warning with/a/path/that/has/no/space/to/break/it/at/all/" * 3
# What stands out of the window, but for what scrolls by itself.
OUTSIDE = """() => [...document.querySelectorAll("body *")]
  .filter((e) => !e.closest(".scroll") || e.matches(".scroll"))
  .filter((e) => e.getBoundingClientRect().right > window.innerWidth + 0.5 || e.getBoundingClientRect().left < -0.5)
  .map((e) => e.outerHTML.slice(0, 80))"""
# Contrast of every text with what is behind it, by WCAG 2.
CONTRASTS = """() => {
  const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = rgb(c).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { const c = getComputedStyle(e).backgroundColor;
    return rgb(c)[3] === 0 && e.parentElement ? behind(e.parentElement) : c; };
  return [...document.querySelectorAll("h1, h2, p, li, th, td, button, dt, dd, code, a, summary, figcaption, caption, footer")]
    .filter((e) => e.textContent.trim())
    .map((e) => { const pair = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a);
      return [(pair[0] + 0.05) / (pair[1] + 0.05), e.outerHTML.slice(0, 60)]; });
}"""


@pytest.fixture(scope="session")
def browser():
    """Chromium: that of `CHROMIUM`, else playwright's own."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or None, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory) -> dict[str, Path]:
    """A run with all its pictures and a sweep of three seeds, both with warnings."""
    tmp_path = tmp_path_factory.mktemp("pages")
    outputs, write = make(), writer(tmp_path)
    for seed in range(3):
        for name in ("dau", "finetune", "retrain_again"):
            command = f"python train.py dataset.root=/a/long/folder/{'x' * 80} baseline={name} seed={seed}"
            folder = write(seed, name, rows={name: {"flags": [LONG]}}, command=command)
            if name == "dau":
                outputs.write(folder)
                own = folder
    write_run_page(json.loads((own / "result.json").read_text()), own)
    main([str(tmp_path / "runs"), "--html", str(tmp_path / "sweep.html")])
    return {"run": own / "report.html", "sweep": tmp_path / "sweep.html"}


def opened(browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> tuple[Page, list[str]]:
    """A page, and what went wrong: console errors, exceptions, requests to anything but itself."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: wrong.append(request.url[:80]) if not request.url.startswith(("data:", path.as_uri())) else None,
    )
    page.goto(path.as_uri(), wait_until="networkidle")
    return page, wrong


@pytest.mark.parametrize("kind", ["run", "sweep"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_it_fits_is_readable_and_fetches_nothing(browser, pages, kind, width, scheme):
    page, wrong = opened(browser, pages[kind], width, scheme)
    for group in page.locator("details").all():
        group.evaluate("node => node.open = true")
    assert wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == []
    assert [found for found in page.evaluate(CONTRASTS) if found[0] < 4.5] == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(255, 255, 255)") is (scheme == "light")
    assert all(page.evaluate("[...document.images].map((image) => image.complete && image.naturalWidth > 100)"))
    assert page.locator("img").count() == (6 if kind == "run" else 2)
    assert all(page.evaluate("[...document.images].map((image) => image.alt.length > 10)"))


def column(page: Page, place: int) -> list[float]:
    cells = page.locator("table").first.locator(f"tbody tr td:nth-child({place + 1})")
    return [float(value) for value in cells.evaluate_all("cells => cells.map((cell) => cell.dataset.value)")]


def test_a_heading_sorts_both_ways(browser, pages):
    page, wrong = opened(browser, pages["sweep"])
    heading = page.locator("table").first.locator("thead th").nth(1)
    before = column(page, 1)
    assert before != sorted(before)
    heading.locator("button").click()
    assert column(page, 1) == sorted(before)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").click()
    assert column(page, 1) == sorted(before, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    page.locator("table").first.locator("thead button").first.click()
    names = page.locator("table").first.locator("tbody th").all_inner_texts()
    assert names == sorted(names)
    assert heading.get_attribute("aria-sort") is None
    assert wrong == []


@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_headings_explain_themselves_to_pointer_and_keyboard(browser, pages, width):
    page, wrong = opened(browser, pages["run"], width)
    button = page.locator("table").first.locator("thead button").nth(1)
    meaning = page.locator(f'[id="{button.get_attribute("aria-describedby")}"]')
    leave = {button.focus: lambda: button.blur(), button.hover: lambda: page.mouse.move(0, 0)}
    for come, go in leave.items():
        assert not meaning.is_visible()
        come()
        assert meaning.inner_text() == "UA: 100 - accuracy on the forget set, percent"
        box = meaning.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= 900
        go()
    assert not meaning.is_visible()
    assert wrong == []


def test_a_row_without_a_number_stays_below(browser, pages):
    page, _ = opened(browser, pages["sweep"])
    page.locator("table").first.evaluate("table => delete table.tBodies[0].rows[0].cells[1].dataset.value")
    first = page.locator("table").first.locator("tbody th").first.inner_text()
    button = page.locator("table").first.locator("thead button").nth(1)
    for _ in range(2):
        button.click()
        assert page.locator("table").first.locator("tbody th").last.inner_text() == first


def test_it_sorts_and_scrolls_and_unfolds_by_keyboard_alone(browser, pages):
    page, _ = opened(browser, pages["run"], WIDTHS["phone"])
    reached: list[str] = []
    for _ in range(200):
        page.keyboard.press("Tab")
        found = page.evaluate("document.activeElement.textContent.trim() || document.activeElement.tagName")
        kind = page.evaluate("document.activeElement.tagName + '.' + document.activeElement.className")
        reached.append(kind)
        if kind == "BUTTON." and found == "UA":
            page.keyboard.press("Enter")
            assert column(page, 1) == sorted(column(page, 1))
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        if kind == "SUMMARY." and found == "baseline":
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.parentElement.open")
            break
    else:
        raise AssertionError(f"the settings cannot be reached: {set(reached)}")
    assert {"BUTTON.", "DIV.scroll", "DIV.scroll picture", "SUMMARY."} <= set(reached)
