"use strict";
// Tables: search, filter, sort, leaf through, save. Names enter the page as text, never as markup.
const PAGE = 25;
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

  function cell(value, { kind }) {
    if (kind === "gene") {
      const id = genes[value], symbol = symbols[value];
      const title = id === symbol ? id : `${symbol} (${id})`;
      return element("td", {}, element("bdi", { className: "name", title, textContent: symbol }));
    }
    const made = element("td", { className: kind, textContent: shown(value, kind) });
    if (kind === "word" && words[value]) made.classList.add(value);
    return made;
  }

  function draw() {
    const first = page * PAGE, part = rows.slice(first, first + PAGE);
    table.tBodies[0].replaceChildren(
      ...part.map((row) => element("tr", {}, ...row.map((value, i) => cell(value, columns[i])))));
    const range = rows.length ? `${first + 1} to ${first + part.length} of ` : "";
    say.textContent = `${range}${rows.length.toLocaleString("en")} rows`;
    back.disabled = page === 0;
    next.disabled = first + PAGE >= rows.length;
    [...table.tHead.rows[0].cells].forEach((head, i) => {
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
  const back = button("Previous", () => { page -= 1; draw(); });
  const next = button("Next", () => { page += 1; draw(); });
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
  table.tHead.append(element("tr", {}, ...columns.map((column, i) => {
    const sort = button(column.label, () => {
      [sorted, down] = [i, sorted === i ? !down : column.kind !== "gene"];
      choose();
    });
    return element("th", { scope: "col", className: column.kind }, sort);
  })));
  say.before(controls);
  box.append(element("div", { className: "pages" }, back, next));
  draw();
}

document.querySelectorAll(".table").forEach(start);
