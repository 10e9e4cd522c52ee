"use strict";
// Tables: search, filter, sort, leaf through, save. Names enter the page as text, never as markup.
// The page holds the first rows already; this takes over.
const PAGE = matchMedia("(max-width: 600px)").matches ? 10 : 25; // rows: cards are tall
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

function element(tag, options = {}, ...children) {
  const made = Object.assign(document.createElement(tag), options);
  made.append(...children);
  return made;
}

function start(box) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const { columns, genes, words } = data;
  const symbols = data.symbols || genes;
  const say = box.querySelector("[role=status]");
  const table = box.querySelector("table");
  const heads = table.tHead.rows[0].cells;
  const filters = new Map(); // column -> word
  let query = "", sorted = -1, down = true, page = 0, rows = data.rows;

  const shown = (value, kind) => {
    if (kind === "gene") return symbols[value];
    if (value === null || value === "") return "–";
    if (kind === "word") return words[value] || value.replaceAll("_", " ");
    if (kind === "count") return value.toLocaleString("en");
    return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : value.toFixed(3);
  };
  const key = (value, kind) => (kind === "gene" ? symbols[value] : value);
  const searched = columns.flatMap((column, i) => (column.kind === "gene" ? [i] : []));

  function choose() {
    const wanted = query.toLowerCase();
    const has = (gene) =>
      genes[gene].toLowerCase().includes(wanted) || symbols[gene].toLowerCase().includes(wanted);
    rows = data.rows.filter((row) =>
      (!wanted || searched.some((i) => has(row[i]))) &&
      [...filters].every(([i, word]) => !word || row[i] === word));
    if (sorted >= 0) {
      const { kind } = columns[sorted];
      rows.sort((a, b) => {
        const [x, y] = [key(a[sorted], kind), key(b[sorted], kind)];
        if (x === y) return 0;
        if (x === null || y === null) return x === null ? 1 : -1; // missing numbers last
        return (x < y ? -1 : 1) * (down ? -1 : 1);
      });
    }
    page = 0;
    draw();
  }

  function cell(value, { kind, label }) {
    const made = element("td", { className: kind });
    made.dataset.label = label; // shown on narrow screens
    if (kind === "gene") {
      const id = genes[value], symbol = symbols[value];
      const title = id === symbol ? id : `${symbol} (${id})`;
      made.append(element("bdi", { className: "name", title, textContent: symbol }));
    } else made.textContent = shown(value, kind);
    if (kind === "word" && words[value]) made.classList.add(value);
    return made;
  }

  function draw() {
    const first = page * PAGE, part = rows.slice(first, first + PAGE);
    table.tBodies[0].replaceChildren(
      ...part.map((row) => element("tr", {}, ...row.map((value, i) => cell(value, columns[i])))));
    const range = rows.length ? `${first + 1} to ${first + part.length} of ` : "";
    const order = sorted < 0 ? "" : `, sorted by ${columns[sorted].label}, ${down ? "falling" : "rising"}`;
    say.textContent = `${range}${rows.length.toLocaleString("en")} ${rows.length === 1 ? "row" : "rows"}${order}`;
    back.ariaDisabled = String(page === 0); // not `disabled`, which would lose the focus of the keyboard
    next.ariaDisabled = String(first + PAGE >= rows.length);
    [...heads].forEach((head, i) => {
      if (i === sorted) head.ariaSort = down ? "descending" : "ascending";
      else head.removeAttribute("aria-sort");
    });
  }

  function save() {
    const quote = (text) => `"${text.replaceAll('"', '""')}"`;
    const safe = (text) => quote(FORMULA.test(text) ? "'" + text : text);
    const expand = (of) => columns.flatMap((column, i) => of(column, i));
    const lines = [expand(({ name, kind }) =>
      kind === "gene" && data.symbols ? [name, `${name}_symbol`] : [name]).join(",")];
    for (const row of rows) {
      lines.push(expand(({ kind }, i) => {
        if (kind === "gene") {
          return data.symbols ? [safe(genes[row[i]]), safe(symbols[row[i]])] : [safe(genes[row[i]])];
        }
        return [kind === "word" ? safe(row[i]) : String(row[i] ?? "")];
      }).join(","));
    }
    const href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    element("a", { href, download: `${box.id}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10000);
  }

  const button = (textContent, onclick) => element("button", { type: "button", textContent, onclick });
  const leaf = (step) => ({ currentTarget }) => {
    if (currentTarget.ariaDisabled === "true") return;
    page += step;
    draw();
  };
  const back = button("Previous", leaf(-1));
  const next = button("Next", leaf(1));
  const search = element("input", { type: "search", oninput: () => { query = search.value.trim(); choose(); } });
  const controls = element("div", { className: "controls" },
    element("label", {}, "Search a gene ", search));
  columns.forEach((column, i) => {
    if (column.kind !== "word") return;
    const present = [...new Set(data.rows.map((row) => row[i]))].sort();
    const select = element("select", { onchange: () => { filters.set(i, select.value); choose(); } },
      element("option", { value: "", textContent: "all" }),
      ...present.filter(Boolean).map((value) => element("option", { value, textContent: shown(value, "word") })));
    controls.append(element("label", {}, `${column.label} `, select));
  });
  controls.append(button("Save these rows as CSV", save));
  [...heads].forEach((head, i) => {
    const column = columns[i];
    head.replaceChildren(button(column.label, () => {
      [sorted, down] = [i, sorted === i ? !down : column.kind !== "gene"];
      choose();
    }));
  });
  say.before(controls);
  const pages = element("div", { className: "pages", role: "group", ariaLabel: "Pages of the table" }, back, next);
  box.append(pages);
  draw();
}

document.querySelectorAll(".table").forEach(start);

// A part that is folded opens when a link leads to it, and all open on paper.
function unfold() {
  const part = location.hash && document.getElementById(location.hash.slice(1));
  for (const fold of part ? part.querySelectorAll(":scope > details.fold") : []) fold.open = true;
  if (part) part.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();
const folded = [];
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) { fold.open = true; folded.push(fold); }
});
addEventListener("afterprint", () => { for (const fold of folded.splice(0)) fold.open = false; });
