"""Reports in a real browser: for phones, in the dark, on paper, and for everyone."""

from __future__ import annotations

import numpy as np
import pytest

import keras_vit
from tests.one_backend import NO_BACKEND
from tests.reporting.test_report import answering, evaluated, logits, numbered
from tests.web.axe import CONTRASTS, axe_source

pytestmark = NO_BACKEND


def several():
    """Return an evaluation where a picture may have several labels."""
    rng = np.random.default_rng(1)
    labels = (rng.random((60, 3)) < 0.4).astype("int64")
    model = answering(2 * labels - 1 + rng.normal(size=(60, 3)), ("a", "b", "c"))
    data = keras_vit.load_data(
        (numbered(60), labels),
        class_names=model.class_names,
        multi_label=True,
        validation_fraction=0,
    )
    object.__setattr__(model, "thresholds", (0.5,) * 3)
    return keras_vit.evaluate(model, data)


def of_classes(count):
    rng = np.random.default_rng(0)
    labels = np.arange(240) % count
    answers = np.where(rng.random(240) < 0.7, labels, (labels + 1) % count)
    names = tuple(f"a class with a long name, number {i}" for i in range(count))
    groups = [f"camera {i % 3}" for i in range(240)]
    return evaluated(labels, answers, names, groups=groups)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Reports of 3, 30 and 100 classes, of several labels, and of a run."""
    folder = tmp_path_factory.mktemp("reports")
    three = of_classes(3)
    labels = np.asarray(three.answers.labels)
    other = answering(
        logits(labels, (labels + labels % 2) % 3, 3), three.answers.class_names
    )
    three.report(folder / "3.html", against=other, command="keras-vit evaluate " * 9)
    of_classes(30).report(folder / "30.html")
    of_classes(100).report(folder / "100.html")
    several().report(folder / "several.html")
    run = keras_vit.evaluate("saved_models/digits", keras_vit.load_data("digits"))
    run.report(folder / "run.html", near_duplicates=False)
    return folder


def opened(browser, path, **options):
    context = browser.new_context(**options)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda one: problems.append(one.text))
    page.on(
        "request",
        lambda one: one.url[:5] in ("file:", "data:") or problems.append(one.url),
    )
    page.goto(path.as_uri())
    return page, problems


@pytest.mark.parametrize("name", ["3", "30", "100", "several", "run"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_it(npm, chromium, pages, name, scheme):
    size = {"width": 375, "height": 800}
    options = {"viewport": size, "color_scheme": scheme, "bypass_csp": True}
    page, problems = opened(chromium, pages / f"{name}.html", **options)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.evaluate(
        "document.querySelectorAll('details').forEach((x) => { x.open = true })"
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    lowest, where = page.evaluate(CONTRASTS)
    assert lowest >= 4.5, where
    page.add_script_tag(content=axe_source())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [(x["id"], x["nodes"][0]["html"]) for x in found["violations"]] == []
    page.set_viewport_size({"width": 1280, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    assert problems == []
    page.context.close()


def test_a_table_is_sorted_and_searched_and_a_matrix_read(chromium, pages):
    page, problems = opened(chromium, pages / "100.html")
    rows = page.locator("#classes tbody tr")
    first = rows.first.inner_text()
    page.get_by_role("button", name="recall").click()
    page.get_by_role("button", name="recall").click()
    shares = [
        float(x)
        for x in rows.locator("td:nth-child(4)").evaluate_all(
            "all => all.map((x) => x.dataset.sort)"
        )
    ]
    assert shares == sorted(shares, reverse=True) and rows.first.inner_text() != first
    page.get_by_label("Find a row by name").fill("number 77")
    assert page.locator("#classes tbody tr:visible").count() == 1
    image = page.locator(".pixels-matrix img")
    image.hover(position={"x": 3, "y": 3})
    assert "right" in page.locator(".reading").inner_text()
    assert problems == []
    page.context.close()


def test_it_is_complete_without_javascript_and_on_paper(chromium, pages):
    page, problems = opened(chromium, pages / "3.html", java_script_enabled=False)
    assert page.locator("#classes tbody tr").count() == 3
    assert page.locator("summary").count() == 4
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible() and page.locator("h1").is_visible()
    assert len(page.pdf()) > 10_000
    assert problems == []
    page.context.close()
