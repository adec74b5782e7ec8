// Stands between the page and its server: adds the headers that wasm needs for threads,
// and keeps a copy of every file for visits without a network.

// One origin may hold several pages.
const COPIES = `keras-vit ${self.registration.scope}`;
// https://web.dev/articles/coop-coep
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(keepIcon());
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { method, url, headers } = event.request;
  const isOurs = method === "GET" && new URL(url).origin === location.origin;
  // A part of a file is no copy of it.
  if (isOurs && !headers.has("range")) event.respondWith(answer(event));
  if (event.request.mode === "navigate") event.waitUntil(leaveIfReplaced());
});

// Another site may come to this address, which localhost:8000 sees often.
async function leaveIfReplaced() {
  try {
    const script = await fetch(location.href, { method: "HEAD", cache: "no-store" });
    if (script.status !== 404) return;
    await self.registration.unregister();
    await caches.delete(COPIES);
  } catch (error) {
    console.debug("Nobody says whether this page is still here.", error);
  }
}

async function answer(event) {
  let response;
  try {
    response = await fetch(event.request);
  } catch (error) {
    const copy = await findCopy(event.request);
    if (copy) return copy;
    throw error;
  }
  if (response.status === 0) return response; // A redirection, for the browser only.
  const isolated = withIsolation(response);
  if (response.ok) event.waitUntil(keepCopy(event.request, isolated.clone()));
  return isolated;
}

function withIsolation({ body, status, statusText, headers }) {
  const isolated = new Headers(headers);
  for (const [name, value] of Object.entries(ISOLATION)) isolated.set(name, value);
  return new Response(body, { status, statusText, headers: isolated });
}

async function keepCopy(request, response) {
  try {
    await (await caches.open(COPIES)).put(request, response);
  } catch (error) {
    // The disk may be full.
    console.debug(`No copy of ${request.url} is kept.`, error);
  }
}

// Browsers ask for it once, before this worker is here.
async function keepIcon() {
  try {
    await (await caches.open(COPIES)).add("icon.svg");
  } catch (error) {
    console.debug("No copy of the icon is kept.", error);
  }
}

async function findCopy(request) {
  try {
    return await (await caches.open(COPIES)).match(request, {
      ignoreSearch: request.mode === "navigate", // The options of the page.
      ignoreVary: true,
    });
  } catch {
    return undefined;
  }
}
