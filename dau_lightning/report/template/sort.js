"use strict";
// A heading sorts its table: first downwards from the smallest, again the other way round. Rows without a number stay below.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => column ? row.cells[column].dataset.value : row.cells[0].textContent;
    const compare = (a, b) => column ? Number(a) - Number(b) : a.localeCompare(b);
    const rows = [...body.rows];
    const known = rows.filter((row) => key(row) !== undefined).sort((a, b) => compare(key(a), key(b)));
    if (descending) known.reverse();
    body.append(...known, ...rows.filter((row) => key(row) === undefined));
  }));
}
