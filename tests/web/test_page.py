"""The page in headless Chromium, beside the Keras model."""

from __future__ import annotations

import json
import re
import shutil

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.explaining.drawing import colours_of
from keras_vit.web.examples import write_examples
from tests.one_backend import ONE_BACKEND
from tests.pictures import digit_pictures
from tests.web.actions import check_results, choose, drop, png, problem, results
from tests.web.conftest import PHOTOS, TIMEOUT, WITHOUT_WORKER, with_random_weights

pytestmark = ONE_BACKEND

CONTRAST = """() => {
    const luminance = (color) => {
        const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((c) => {
            const x = c / 255;
            return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        const color = getComputedStyle(node).backgroundColor;
        return color.endsWith(", 0)") ? ground(node.parentElement) : color;
    };
    const texts = document.querySelectorAll("h1, h2, p, button, label, .name, .value");
    return [...texts].filter((node) => node.innerText).map((node) => {
        const pair = [getComputedStyle(node).color, ground(node)].map(luminance);
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    });
}"""


@pytest.mark.parametrize("give", [choose, drop])
@pytest.mark.parametrize("number", [0, 1])
def test_the_page_answers_what_the_model_answers(
    visit, photo_site, photo_model, give, number
):
    page = visit(photo_site)
    give(page, png(PHOTOS[number]))
    check_results(page, photo_model, PHOTOS[number])
    best = keras_vit.predict(photo_model, [PHOTOS[number]], top=1)[0][0]
    said = f"This looks like {best.class_name}, {best.probability:.1%}."
    assert page.inner_text("#status") == said
    assert page.is_hidden("#time")  # Behind "Details".
    page.click("summary")
    assert re.fullmatch(r"[\d.]+ ms in the model, .*", page.inner_text("#time"))


@pytest.fixture(scope="module")
def several_site(npm, tmp_path_factory):
    """The page of a model for several classes per picture, and the model."""
    model = with_random_weights(
        keras_vit.ViT.from_variant(
            "test",
            num_classes=7,
            class_names=["ant", "bee", "cat", "dog", "elk", "fox", "gnu"],
            preprocessing=Preprocessing(image_size=32),
        )
    )
    given = [p.probability for p in by_number(model, PHOTOS[0])]
    middle = sorted(given)[4]
    # Three are there, whatever their probability; the others just not.
    model.thresholds = [0.99 * p if p >= middle else min(1.0, p + 0.001) for p in given]
    return keras_vit.write_demo(
        model, tmp_path_factory.mktemp("several") / "site", images=PHOTOS
    ), model


def by_number(model, picture):
    """Return the predictions of all classes, by number, as sigmoids."""
    twin = keras_vit.changed(model, thresholds=(0.5,) * 7)
    return sorted(keras_vit.predict(twin, [picture], top=7)[0], key=lambda p: p.index)


def test_all_classes_that_are_there_are_said_and_marked(visit, several_site):
    site, model = several_site
    page = visit(site)
    choose(page, png(PHOTOS[0]))
    [expected] = keras_vit.predict(model, [PHOTOS[0]])
    found = results(page)
    assert len(expected) == 3 and len(found) == 5
    assert list(found)[:3] == [one.index for one in expected]
    every = by_number(model, PHOTOS[0])
    for index, probability in found.items():
        assert probability == pytest.approx(every[index].probability, abs=1e-3)
    assert page.locator("#results li.there").count() == 3
    first, second, third = (one.class_name for one in expected)
    said = f"This picture shows {first}, {second} and {third}."
    assert page.inner_text("#status") == said and page.is_visible("#status")


def test_a_picture_with_none_of_the_classes_is_said_in_words(
    visit, several_site, tmp_path
):
    site, _ = several_site
    shutil.copytree(site, tmp_path / "site")
    settings = json.loads((site / "model.json").read_text())
    settings["output"]["thresholds"] = [1.0] * 7
    (tmp_path / "site" / "model.json").write_text(json.dumps(settings))
    page = visit(tmp_path / "site")
    choose(page, png(PHOTOS[1]))
    assert len(results(page)) == 5 and page.locator("#results li.there").count() == 0
    assert page.inner_text("#status") == "None of the 7 classes is on this picture."
    assert page.is_visible("#status")
    assert min(page.evaluate(CONTRAST)) >= 4.5


def test_a_finished_file_is_a_page_too(visit, digits_file, digits_model, tmp_path):
    page = visit(keras_vit.write_demo(digits_file, tmp_path / "site"))
    assert page.title() == "Digits"
    assert page.is_hidden("#attention-control")
    picture = digit_pictures(10)[3][0].resize((40, 50))
    choose(page, png(np.asarray(picture)))
    check_results(page, digits_model, picture)


def test_a_file_that_takes_pixels_gets_pixels(visit, photo_model, tmp_path):
    path = tmp_path / "pixels.tflite"
    keras_vit.export(
        photo_model,
        path,
        input="pixels",
        input_size=(90, 120),
        images=PHOTOS,
        report=False,
    )
    page = visit(keras_vit.write_demo(path, tmp_path / "site"))
    choose(page, png(PHOTOS[0]))
    check_results(page, path, PHOTOS[0])


def test_a_second_picture_takes_the_place_of_the_first(visit, photo_site, photo_model):
    page = visit(photo_site)
    for photo in PHOTOS:
        choose(page, png(photo))
        page.wait_for_function(
            "document.getElementById('status').textContent[0] == 'T'"
        )
    check_results(page, photo_model, PHOTOS[1])


def test_the_picture_of_the_camera_is_classified(visit, photo_site):
    page = visit(photo_site, permissions=["camera"])
    page.click("#open-camera")
    page.wait_for_selector("#shutter:focus")
    page.click("#shutter")
    assert len(results(page)) == 5
    assert page.is_visible("#picture") and page.is_hidden("#video")
    page.wait_for_selector("#open-camera:focus")


def test_a_picture_closes_the_camera_however_often_it_was_opened(visit, photo_site):
    page = visit(photo_site, permissions=["camera"])
    page.evaluate(
        """() => {
            const { mediaDevices } = navigator;
            const ask = mediaDevices.getUserMedia.bind(mediaDevices);
            window.tracks = [];
            mediaDevices.getUserMedia = async (wanted) => {
                const stream = await ask(wanted);
                window.tracks.push(...stream.getTracks());
                return stream;
            };
            for (let taps = 0; taps < 2; taps++) {
                document.getElementById("open-camera").click();
            }
        }"""
    )
    page.wait_for_selector("#shutter:focus")
    assert page.inner_text("#problem") == ""
    drop(page, png(PHOTOS[0]))
    results(page)
    assert page.is_visible("#picture") and page.is_hidden("#shutter")
    assert set(page.evaluate("tracks.map((track) => track.readyState)")) == {"ended"}


def test_a_camera_without_a_picture_stays_open_and_says_so(visit, photo_site):
    page = visit(photo_site)
    page.evaluate(
        """() => {
            navigator.mediaDevices.getUserMedia = async () => new MediaStream();
            document.getElementById("video").play = async () => {};
        }"""
    )
    page.click("#open-camera")
    page.click("#shutter")
    assert problem(page).startswith("The camera shows nothing yet.")
    assert page.is_visible("#shutter")


def test_a_picture_dropped_while_the_model_loads_waits_for_it(
    visit, photo_site, photo_model
):
    page = visit(photo_site)
    held = []
    page.route("**/model.tflite", lambda route: held.append(route))
    with page.expect_request("**/model.tflite"):
        page.reload()
    assert not drop(page, png(PHOTOS[0]))  # Else the browser leaves the page.
    page.wait_for_function("document.title == 'Animals'")
    held[0].continue_()
    check_results(page, photo_model, PHOTOS[0])


def test_the_attention_map_lies_over_the_picture_if_wanted(visit, photo_site):
    page = visit(photo_site)
    choose(page, png(PHOTOS[0]))
    results(page)
    picture, overlay = (page.locator(f"#{name}") for name in ("picture", "overlay"))
    assert picture.bounding_box() == overlay.bounding_box()
    page.uncheck("#attention")
    assert overlay.is_hidden() and picture.is_visible()
    page.check("#attention")
    assert overlay.is_visible()


OVERLAY = """() => {
    const { width, height } = document.getElementById("overlay");
    const context = document.getElementById("overlay").getContext("2d");
    return Array.from(context.getImageData(0, 0, width, height).data);
}"""


def test_the_map_has_the_colours_of_explain_and_shows_the_picture(visit, photo_site):
    page = visit(photo_site)
    choose(page, png(PHOTOS[0]))
    results(page)
    pixels = np.asarray(page.evaluate(OVERLAY)).reshape(-1, 4)
    alpha = pixels[:, 3] / 255
    assert alpha.max() <= 0.56
    colours = pixels[alpha > 0.5, :3]  # Inside what the model saw.
    lowest, highest = colours_of(np.array([0.0, 1.0]))
    for expected in (lowest, highest):
        assert np.abs(colours - expected).max(-1).min() < 16


def test_an_error_leaves_nothing_of_the_picture_before(visit, photo_site):
    page = visit(photo_site)
    choose(page, png(PHOTOS[0]))
    results(page)
    choose(page, b"no picture", name="broken.jpg")
    assert "broken.jpg" in problem(page)
    assert page.is_hidden("#picture") and page.is_hidden("#overlay")
    assert page.is_visible("#hint")
    assert page.locator("#results li").count() == 0
    assert page.text_content("#time") == page.inner_text("#status") == ""
    choose(page, png(PHOTOS[1]))
    results(page)
    assert page.inner_text("#problem") == ""


def test_examples_can_be_tried(visit, photo_site, photo_model, tmp_path):
    site = shutil.copytree(photo_site, tmp_path / "site")
    settings = json.loads((site / "model.json").read_text())
    steps = photo_model.preprocessing
    settings["examples"] = write_examples([*PHOTOS, PHOTOS[0][:90, :80]], steps, site)
    (site / "model.json").write_text(json.dumps(settings))
    page = visit(site, viewport={"width": 375, "height": 667})
    assert page.locator(".example img").count() == 3
    page.click(".example >> nth=2")
    check_results(page, photo_model, PHOTOS[0][:90, :80])
    assert page.get_by_role("img", name="The picture Example 3").is_visible()
    assert page.evaluate(IN_SIGHT, "stage") and page.evaluate(IN_SIGHT, "results")


# Each part of the page with its place, and what must be true of a page.
PLACES = """() => ["stage", "result", "actions"].map((id) => {
    const { left, top, width, height } = document.getElementById(id)
        .getBoundingClientRect();
    return [left, top + scrollY, width, height].map(Math.round);
})"""
SIZE = "node => parseFloat(getComputedStyle(node).fontSize)"
IN_SIGHT = """(id) => {
    const { top, bottom } = document.getElementById(id).getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(375, 667), (768, 1024), (1280, 800), (1920, 1080)])
def test_the_page_on_each_screen(visit, photo_site, size, scheme):
    width, height = size
    page = visit(
        photo_site, viewport={"width": width, "height": height}, color_scheme=scheme
    )
    places = page.evaluate(PLACES)
    states = [
        (png(PHOTOS[0]), "a.png"),
        (b"no picture", "b.png"),
        (png(PHOTOS[1]), "c"),
    ]
    for content, name in states:
        choose(page, content, name=name)
        problem(page) if name == "b.png" else results(page)
        assert page.evaluate(PLACES) == places  # Nothing jumps.
        # Web Content Accessibility Guidelines 2.2, 1.4.3.
        assert min(page.evaluate(CONTRAST)) >= 4.5
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(IN_SIGHT, "stage") and page.evaluate(IN_SIGHT, "results")
    largest = page.eval_on_selector("#results li:first-child .name", SIZE)
    others = "h1, p, button, label, li:not(:first-child) .name, summary"
    sizes = page.eval_on_selector_all(others, f"nodes => nodes.map({SIZE})")
    assert largest >= 1.4 * max(sizes)
    widths = "nodes => nodes.map((node) => node.getBoundingClientRect().width)"
    choose_width, camera_width = page.eval_on_selector_all(
        ".file, #open-camera", widths
    )
    assert choose_width == pytest.approx(camera_width, abs=1)
    # No half of a wide screen is empty.
    used = page.evaluate("document.querySelector('main').getBoundingClientRect().width")
    assert used >= 0.7 * width


def test_bytes_that_are_no_picture_are_named(visit, photo_site):
    page = visit(photo_site)
    choose(page, b"no picture", name="notes.png")
    assert problem(page).startswith("“notes.png” cannot be read as a picture.")
    choose(page, png(PHOTOS[0]))
    results(page)
    assert page.inner_text("#problem") == ""


def test_a_page_without_camera_says_so(visit, photo_site):
    page = visit(photo_site)
    page.evaluate(
        """() => navigator.mediaDevices.getUserMedia = async () => {
            throw new DOMException("", "NotFoundError");
        }"""
    )
    page.click("#open-camera")
    assert problem(page) == "No camera was found. Choose a picture instead."


@pytest.mark.parametrize("damage", ["missing", "short", "no model"])
def test_a_model_that_does_not_load_is_a_sentence(
    chromium, serve, photo_site, tmp_path, damage
):
    folder = shutil.copytree(photo_site, tmp_path / "site")
    file = folder / "model.tflite"
    size = file.stat().st_size
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"0" * (1000 if damage == "short" else size))
    context = chromium.new_context(**WITHOUT_WORKER)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    page.goto(serve(folder).address)
    assert problem(page).startswith("The model could not be loaded.")
    assert page.is_disabled("#file")
    context.close()


def test_a_page_without_one_of_its_scripts_says_so(chromium, serve, photo_site):
    context = chromium.new_context(**WITHOUT_WORKER)
    page = context.new_page()
    page.route("**/picture.js", lambda route: route.fulfill(status=404))
    page.goto(serve(photo_site).address)
    assert problem(page).startswith("A part of this page could not be loaded.")
    assert page.inner_text("#status") == ""
    context.close()


def test_a_page_opened_as_a_file_says_what_to_do(chromium, photo_site):
    context = chromium.new_context(**WITHOUT_WORKER)
    page = context.new_page()
    page.goto((photo_site / "index.html").as_uri())
    assert "python3 -m http.server" in problem(page)
    context.close()


def test_the_keyboard_reaches_everything_in_order(visit, photo_site):
    page = visit(photo_site)
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        outline = page.evaluate(
            """() => {
                const { activeElement } = document;
                const label = activeElement.matches(".file input");
                const shown = label ? activeElement.nextElementSibling : activeElement;
                return getComputedStyle(shown).outlineStyle;
            }"""
        )
        assert outline == "solid"
    assert reached == ["file", "open-camera", "attention"]
    with page.expect_file_chooser():
        page.focus("#file")
        page.keyboard.press("Enter")


def test_screen_readers_find_names_and_hear_results(visit, photo_site):
    page = visit(photo_site)
    assert page.get_by_label("Choose a picture").get_attribute("type") == "file"
    assert page.get_by_role("button", name="Use the camera").is_enabled()
    assert page.get_by_role("checkbox", name="Show where the model looked").is_checked()
    choose(page, png(PHOTOS[0]), name="temple.png")
    results(page)
    assert page.get_by_role("status").inner_text().startswith("This looks like")
    assert page.get_by_role("img", name="The picture temple.png").is_visible()
    assert page.get_by_role("listitem").count() == 5
    assert page.get_by_role("heading", level=1).inner_text() == "Animals"


def test_what_is_said_is_in_sight_on_a_screen_of_a_phone(visit, photo_site):
    page = visit(photo_site, viewport={"width": 360, "height": 640})
    choose(page, png(PHOTOS[0]))
    results(page)
    assert page.evaluate(IN_SIGHT, "results")
    page.evaluate("scrollTo(0, 0)")
    choose(page, b"no picture", name="a" * 80 + ".png")
    problem(page)
    assert page.evaluate(IN_SIGHT, "problem")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_map_of_a_file_is_what_the_model_attends_to(photo_model, photo_site):
    from ai_edge_litert.interpreter import Interpreter

    image = photo_model.preprocessing(PHOTOS[0])[None]
    scores = keras_vit.attention_scores(photo_model, None)(image)
    mixed = np.eye(21)  # The class token and 5 x 4 patches.
    for number in range(photo_model.config.num_layers):
        weights = keras.ops.convert_to_numpy(scores[f"block_{number}"])[0]
        mixed = (np.eye(21) + weights.mean(axis=0)) / 2 @ mixed
    expected = mixed[0, 1:].reshape(5, 4)
    interpreter = Interpreter(model_path=str(photo_site / "model.tflite"))
    found = interpreter.get_signature_runner()(images=image)["attention"]
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
