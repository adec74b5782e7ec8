// What the theme makes while a page opens, for keyboards and screen readers: tables that
// scroll can be reached, and the button that copies is no landmark of its own.
const mend = () => {
  for (const table of document.querySelectorAll(
    ".md-typeset__scrollwrap:not([tabindex])",
  )) {
    table.tabIndex = 0;
  }
  for (const bar of document.querySelectorAll("nav.md-code__nav:not([role])")) {
    bar.setAttribute("role", "presentation");
  }
};
new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
mend();
