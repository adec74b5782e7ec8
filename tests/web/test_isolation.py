"""What the service worker gives to the page: threads, and visits without a network."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.one_backend import ONE_BACKEND
from tests.web.actions import check_results, choose, drop, png
from tests.web.conftest import PHOTOS

pytestmark = ONE_BACKEND

WITH_WORKER = {"service_workers": "allow"}
# Machines of tests may have one core, with which no page asks for threads.
TWO_CORES = "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 2 });"
ONE_CORE = TWO_CORES.replace("2", "1")
COUNT_LOADS = "sessionStorage.loads = Number(sessionStorage.loads ?? 0) + 1;"
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
# Else the browser's own cache answers for the server.
UNCACHED = {"Cache-Control": "no-store"}


def num_threads(page: Any) -> int:
    return int(page.get_attribute("#facts", "data-threads"))


def num_loads(page: Any) -> int:
    return page.evaluate("Number(sessionStorage.loads)")


def wait_for_copies(page: Any) -> None:
    """Wait until everything that the page loaded is kept."""
    page.wait_for_function(
        """async () => {
            const types = ["navigation", "resource"];
            const loaded = types.flatMap((type) => performance.getEntriesByType(type));
            const names = ["icon.svg", ...loaded.map(({ name }) => name)];
            const kept = names.map((name) => caches.match(name));
            return (await Promise.all(kept)).every(Boolean);
        }"""
    )


def test_the_page_runs_with_threads_from_its_first_visit(
    visit, photo_site, photo_model
):
    page = visit(photo_site, script=TWO_CORES + COUNT_LOADS, **WITH_WORKER)
    assert page.evaluate("crossOriginIsolated")
    assert num_threads(page) == 2
    assert page.text_content("#facts").endswith("the processor (wasm, 2 threads)")
    for photo in PHOTOS:
        choose(page, png(photo))
        page.wait_for_function(
            "document.getElementById('status').textContent[0] == 'T'"
        )
    check_results(page, photo_model, PHOTOS[1])
    assert num_loads(page) == 2


def test_as_many_threads_run_as_the_address_says(visit, photo_site, photo_model):
    script = TWO_CORES + COUNT_LOADS
    page = visit(photo_site, query="?threads=1", script=script, **WITH_WORKER)
    assert num_threads(page) == num_loads(page) == 1
    page.goto(page.url.replace("threads=1", "threads=2"))
    page.wait_for_selector("#file:enabled")
    choose(page, png(PHOTOS[0]))
    check_results(page, photo_model, PHOTOS[0])
    assert num_threads(page) == 2


@pytest.mark.parametrize("script", [TWO_CORES, ONE_CORE], ids=["two", "one"])
def test_the_page_opens_without_its_server(
    visit, serve, photo_site, photo_model, script
):
    server = serve(photo_site, UNCACHED)
    page = visit(server, script=script, **WITH_WORKER)
    wait_for_copies(page)
    server.close()
    page.goto(server.address + "?accelerator=wasm")
    page.wait_for_selector("#file:enabled")
    choose(page, png(PHOTOS[0]))
    check_results(page, photo_model, PHOTOS[0])
    assert num_threads(page) == (2 if script == TWO_CORES else 1)


def test_a_new_page_takes_the_place_of_its_copy(visit, serve, photo_site, tmp_path):
    site = shutil.copytree(photo_site, tmp_path / "site")
    page = visit(serve(site, UNCACHED), script=TWO_CORES, **WITH_WORKER)
    settings = (site / "model.json").read_text()
    (site / "model.json").write_text(settings.replace("Animals", "Beasts"))
    page.reload()
    page.wait_for_selector("#file:enabled")
    assert page.title() == "Beasts"


def test_another_site_at_the_same_address_is_left_alone(
    visit, serve, photo_site, tmp_path
):
    site = shutil.copytree(photo_site, tmp_path / "site")
    page = visit(serve(site, UNCACHED), script=TWO_CORES, **WITH_WORKER)
    (site / "service_worker.js").unlink()
    (site / "index.html").write_text("<title>Another</title><link rel=icon href=data:>")
    page.reload()
    page.wait_for_function(
        "async () => !(await navigator.serviceWorker.getRegistrations()).length"
    )
    page.wait_for_function("async () => !(await caches.match('model.tflite'))")
    page.reload()
    assert page.title() == "Another"
    assert not page.evaluate("crossOriginIsolated")


@pytest.mark.parametrize(
    "obstacle",
    [
        "delete Navigator.prototype.serviceWorker;",
        "navigator.serviceWorker.register = () => Promise.reject(new Error('No.'));",
        "delete window.sessionStorage;",
    ],
    ids=["absent", "refused", "no storage"],
)
def test_a_page_without_a_service_worker_runs_with_one_thread(
    visit, photo_site, photo_model, obstacle
):
    page = visit(photo_site, script=TWO_CORES + obstacle, **WITH_WORKER)
    choose(page, png(PHOTOS[0]))
    check_results(page, photo_model, PHOTOS[0])
    assert num_threads(page) == 1


def test_a_page_that_cannot_be_isolated_is_reloaded_once(visit, photo_site):
    never = "Object.defineProperty(window, 'crossOriginIsolated', { value: false });"
    page = visit(photo_site, script=TWO_CORES + COUNT_LOADS + never, **WITH_WORKER)
    assert (num_threads(page), num_loads(page)) == (1, 2)
    page.reload()
    page.wait_for_selector("#file:enabled")
    assert (num_threads(page), num_loads(page)) == (1, 3)


def test_a_picture_that_comes_before_the_reload_is_not_lost(
    visit, photo_site, photo_model
):
    late = """
        const register = navigator.serviceWorker.register.bind(navigator.serviceWorker);
        navigator.serviceWorker.register = async (script) => {
            await new Promise((resolve) => (window.goOn = resolve));
            return register(script);
        };
    """
    page = visit(
        photo_site, wait=False, script=TWO_CORES + COUNT_LOADS + late, **WITH_WORKER
    )
    page.wait_for_function("Boolean(window.goOn)")
    drop(page, png(PHOTOS[0]))
    page.evaluate("goOn()")
    check_results(page, photo_model, PHOTOS[0])
    assert num_loads(page) == 1


@pytest.mark.parametrize("blocked", [True, False])
def test_a_server_that_isolates_the_page_needs_no_reload(
    visit, serve, photo_site, blocked
):
    page = visit(
        serve(photo_site, ISOLATION),
        script=TWO_CORES + COUNT_LOADS,
        service_workers="block" if blocked else "allow",
    )
    assert (num_threads(page), num_loads(page)) == (2, 1)


def test_scripts_that_may_not_become_threads_are_not_waited_for(
    visit, serve, photo_site
):
    page = visit(serve(photo_site, ISOLATION, header_path="/"), script=TWO_CORES)
    assert page.evaluate("crossOriginIsolated")
    assert num_threads(page) == 1


def test_one_thread_runs_what_several_cannot(
    visit, serve, photo_site, tmp_path, photo_model
):
    site = shutil.copytree(photo_site, tmp_path / "site")
    script = site / "litert" / "wasm" / "litert_wasm_threaded_internal.js"
    script.write_text("self.ModuleFactory = () => Promise.reject(new Error('No.'));")
    page = visit(serve(site, ISOLATION), script=TWO_CORES)
    choose(page, png(PHOTOS[0]))
    check_results(page, photo_model, PHOTOS[0])
    assert num_threads(page) == 1


def check_with_gpu(page: Any, model: Any) -> str:
    """Check what the page answers, and return what computed it."""
    if not page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
        pytest.skip("needs a Chromium that emulates WebGPU")
    choose(page, png(PHOTOS[0]))
    check_results(page, model, PHOTOS[0])
    return page.get_attribute("#facts", "data-accelerator")


def test_the_page_is_right_whatever_webgpu_computes(
    visit, gpu_chromium, photo_site, photo_model
):
    page = visit(photo_site, browser=gpu_chromium, script=TWO_CORES, **WITH_WORKER)
    accelerator = check_with_gpu(page, photo_model)
    assert num_threads(page) == {"wasm": 2, "webgpu": 1}[accelerator]


def test_threads_take_over_from_a_graphics_card_that_computes_other_values(
    visit, gpu_chromium, photo_site, photo_model
):
    script = TWO_CORES + "GPUQueue.prototype.writeBuffer = () => {};"
    page = visit(photo_site, browser=gpu_chromium, script=script, **WITH_WORKER)
    assert check_with_gpu(page, photo_model) == "wasm"
    assert num_threads(page) == 2
