// The page is complete without this. It sorts tables, finds rows by name, and reads the
// picture of a confusion matrix.
"use strict";

function value(row, column) {
  const cell = row.cells[column];
  const number = cell.dataset.sort;
  return number === undefined ? cell.textContent : number === "" ? NaN : Number(number);
}

function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return a - b;
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      rows.sort(([a], [b]) => {
        const order = compare(a, b);
        return down && !Number.isNaN(a) && !Number.isNaN(b) ? -order : order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
  if (body.rows.length > 30) addSearch(table, body);
}

function addSearch(table, body) {
  const field = document.createElement("input");
  field.type = "search";
  field.className = "find";
  field.placeholder = "find a row";
  field.setAttribute("aria-label", "Find a row by name");
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const row of body.rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    }
  });
  table.closest(".scroll").before(field);
}

function makeReadable(figure) {
  const { names, cells } = JSON.parse(figure.querySelector("script").textContent);
  const image = figure.querySelector("img");
  const said = figure.querySelector(".reading");
  const before = said.textContent;
  const counts = new Map(cells.map(([i, j, count]) => [i * names.length + j, count]));
  image.addEventListener("pointermove", (event) => {
    const box = image.getBoundingClientRect();
    const size = names.length;
    const row = Math.floor((size * (event.clientY - box.top)) / box.height);
    const column = Math.floor((size * (event.clientX - box.left)) / box.width);
    if (!(names[row] && names[column])) return;
    // The nearest cell that holds something, since cells are small.
    let best = null;
    for (let i = Math.max(0, row - 2); i <= Math.min(size - 1, row + 2); i++) {
      for (let j = Math.max(0, column - 2); j <= Math.min(size - 1, column + 2); j++) {
        const far = Math.abs(i - row) + Math.abs(j - column);
        if (counts.has(i * size + j) && (best === null || far < best.far)) best = { i, j, far };
      }
    }
    if (best === null) return;
    const count = counts.get(best.i * size + best.j).toLocaleString("en");
    said.textContent = best.i === best.j
      ? `${names[best.i]}: ${count} right`
      : `${names[best.i]} taken for ${names[best.j]}: ${count}`;
  });
  image.addEventListener("pointerleave", () => { said.textContent = before; });
}

document.querySelectorAll("table[data-sortable]").forEach(makeSortable);
document.querySelectorAll(".pixels-matrix").forEach(makeReadable);
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
});
