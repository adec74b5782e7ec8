// Browsers load modules from servers only; without this script the page would be mute.
if (location.protocol === "file:") {
  document.getElementById("status").textContent = "";
  document.getElementById("loading").hidden = true;
  document.getElementById("problem").textContent =
    "This page has to come from a server. In its folder, run " +
    "“python3 -m http.server” and open http://localhost:8000.";
}
