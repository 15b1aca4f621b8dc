"use strict";
// An enhancement only: without it every table is complete, largest drift first.
document.documentElement.classList.add("scripted");
document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
    return cell.dataset.value === undefined ? text : text === "" ? null : Number(text);
  };
  table.tHead.querySelectorAll("th").forEach((head, column) => {
    const sort = () => {
      const now = head.getAttribute("aria-sort"), number = head.classList.contains("number");
      const up = now ? now === "descending" : !number; // at first names from A, numbers from the largest
      table.tHead.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = (a, b) => {
        const x = value(a, column), y = value(b, column);
        if (x === null || y === null) return (x === null) - (y === null);
        const by = typeof x === "string" ? x.localeCompare(y) : x - y;
        return up ? by : -by;
      };
      body.append(...[...body.rows].sort(order));
    };
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  });
});
const filter = document.getElementById("filter");
if (filter) filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/);
  document.querySelectorAll("table.drift tbody tr").forEach((row) => {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  });
});
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((item) => { item.open = true; }));
