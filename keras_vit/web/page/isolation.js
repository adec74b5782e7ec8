// Threads of wasm share memory, which browsers allow to isolated pages only: those that
// come with two headers. Servers of files do not send them, so a service worker does.

const RELOADED = "reloaded to be isolated";

// Start the service worker, and reload the page once if that lets it use threads; this
// never returns then. `isBusy` says whether a reload would lose something.
export async function isolate(numThreads, isBusy) {
  try {
    const { controller } = navigator.serviceWorker;
    const registration = await navigator.serviceWorker.register("service_worker.js");
    if (!registration.active) await activation(registration);
    if (needsReload(numThreads) && !isBusy()) await reload();
    if (!controller) keepWhatCame();
  } catch (error) {
    // Pages from neither https nor localhost have none, private windows may refuse it.
    console.debug("This page runs without a service worker.", error);
  }
}

// Not `ready`, which waits forever for a worker that fails.
function activation({ installing, waiting }) {
  const worker = installing ?? waiting;
  return new Promise((resolve, reject) => {
    const look = () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new Error("It could not be installed."));
    };
    worker.addEventListener("statechange", look);
    look();
  });
}

// Once: after a hard reload, which passes by the worker, another one changes nothing.
// Nor does any in a frame, which is as isolated as the page around it.
function needsReload(numThreads) {
  const isInFrame = window.parent !== window;
  if (crossOriginIsolated || numThreads === 1 || isInFrame) return false;
  return !sessionStorage.getItem(RELOADED);
}

function reload() {
  sessionStorage.setItem(RELOADED, "yes");
  location.reload();
  return new Promise(() => {});
}

// What was loaded before the worker passes through it now, which keeps a copy.
function keepWhatCame() {
  for (const type of ["navigation", "resource"]) {
    for (const { name } of performance.getEntriesByType(type)) {
      fetch(name).catch(() => {});
    }
  }
}
