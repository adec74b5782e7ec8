// What the page says if its modules do not load; without this script it would be mute.
const fromFile =
  "This page has to come from a server. In its folder, run " +
  "“python3 -m http.server” and open http://localhost:8000.";
const incomplete =
  "A part of this page could not be loaded. Reload it. If that does not help, its " +
  "folder is not complete, or the server does not send .js files as JavaScript.";

function complainOf(problem) {
  document.getElementById("status").textContent = "";
  document.getElementById("loading").hidden = true;
  document.getElementById("problem").textContent = problem;
}

// Browsers load modules from servers only.
if (location.protocol === "file:") complainOf(fromFile);
else {
  const app = document.querySelector("script[type=module]");
  app.addEventListener("error", () => complainOf(incomplete));
}
