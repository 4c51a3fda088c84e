// A table that shows one page of rows at a time, and is sorted by its headers.

function pagedTable(table, makeRow) {
  const ROWS = 25;
  let found = [];
  let page = 0;
  let drawn = [];

  function draw() {
    const last = Math.max(Math.ceil(found.length / ROWS) - 1, 0);
    page = clamp(page, 0, last);
    const wanted = found.slice(page * ROWS, (page + 1) * ROWS);
    // Rows that stand already stay, with the selection and the focus inside them.
    const same = drawn.length && drawn.every((row, i) => row === wanted[i]) ? drawn.length : 0;
    const rows = wanted.slice(same).map(makeRow);
    if (same) table.tBodies[0].append(...rows);
    else table.tBodies[0].replaceChildren(...rows);
    drawn = wanted;
    if (document.activeElement !== byId("page")) byId("page").value = page + 1;
    byId("page").max = last + 1;
    byId("pages").textContent = `of ${grouped(last + 1)}`;
    byId("first").disabled = byId("previous").disabled = page === 0;
    byId("next").disabled = byId("last").disabled = page === last;
  }

  function turn(to) {
    page = to;
    draw();
    byId("page").value = page + 1;
    if (table.getBoundingClientRect().top < 0) table.scrollIntoView();
  }

  byId("first").addEventListener("click", () => turn(0));
  byId("previous").addEventListener("click", () => turn(page - 1));
  byId("next").addEventListener("click", () => turn(page + 1));
  byId("last").addEventListener("click", () => turn(Infinity));
  byId("page").addEventListener("change", (event) => turn((Math.round(Number(event.target.value)) || 1) - 1));
  return {
    // Rows are numbers of documents; with `stay` the page stays, and what is in its rows has not changed.
    show(rows, stay = false) {
      found = rows;
      if (!stay) [page, drawn] = [0, []];
      draw();
    },
    rows: () => found,
  };
}

// Tells which header was chosen, and whether its values shall fall; a second choice turns the order round.
function sortedHeaders(table, first, fallsAtFirst, changed) {
  let sorting = first;
  const headers = [...table.tHead.rows[0].cells];
  for (const header of headers) {
    const button = header.querySelector("button");
    const { key } = button.dataset;
    button.addEventListener("click", () => {
      sorting = { key, falling: sorting.key === key ? !sorting.falling : key === fallsAtFirst };
      for (const other of headers) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", sorting.falling ? "descending" : "ascending");
      changed(sorting);
    });
  }
}

// Numbers of documents in the order of their values; what has none stands last either way.
function orderOf(values, falling) {
  const sign = falling ? -1 : 1;
  return [...values.keys()].sort((i, j) => {
    const [a, b] = [values[i], values[j]];
    if (a === null || b === null) return (a === null) - (b === null) || i - j;
    return (a < b ? -sign : a > b ? sign : 0) || i - j;
  });
}
