// Exploring: every listed pair as a mark; a gene is followed through its pairs and triples.
// Reads what the tables hold. Names enter the page as text, never as markup.
const MARKS = { nonlinear: ["#d55e00", "\u25b2"], affine: ["#0072b2", "\u25cf"], inconclusive: ["#6b7681", "\u00d7"] };
const FIRST = 8; // rows of a list before it is asked for more
const REACH = 14; // pixels between a pointer and the mark it means

function explore(box) {
  const read = (id) => {
    const found = document.querySelector(`#${id} > script`);
    return found ? JSON.parse(found.textContent) : { columns: [], genes: [], rows: [], words: {} };
  };
  const objects = (table) => table.rows.map((row) => Object.fromEntries(
    table.columns.map(({ name, kind }, i) => [name, kind === "gene" ? table.genes[row[i]] : row[i]])));
  const pairTable = read("pairs-table"), tripleTable = read("triples-table");
  const pairs = objects(pairTable).filter((pair) => pair.call in MARKS);
  const triples = objects(tripleTable);
  const symbol = new Map(); // of each gene
  for (const table of [pairTable, tripleTable]) {
    table.genes.forEach((gene, i) => symbol.set(gene, (table.symbols || table.genes)[i]));
  }
  const word = (call, table) => table.words[call] || String(call).replaceAll("_", " ");
  const number = (value) => (value === null ? "\u2013" : value.toFixed(2));
  const percent = (value) => (value === null ? "\u2013" : `${Math.round(100 * value)}%`);
  const drawn = pairs.filter((pair) => pair.r2_spline !== null && pair.nonlinear_share !== null);
  const across = [...drawn].sort((a, b) => a.r2_spline - b.r2_spline || a.nonlinear_share - b.nonlinear_share);
  let gene = null, picked = null, frame = null, trail = [];

  // --- the plot ------------------------------------------------------------------------------------------
  const canvas = element("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "img");
  const tip = element("p", { className: "tip", hidden: true });
  const said = element("p", { className: "picked" });
  said.setAttribute("role", "status");
  const plot = element("div", { className: "plot" }, canvas, tip);
  const edge = { left: 62, right: 18, top: 8, bottom: 40 };
  let width = 0, height = 0;
  const top = Math.max(0.02, ...drawn.map((pair) => pair.nonlinear_share));
  const far = Math.max(0.02, ...drawn.map((pair) => pair.r2_spline));
  const near = drawn.reduce((least, pair) => Math.min(least, pair.r2_spline), far);
  const low = Math.max(0, Math.min(far - 0.02, Math.floor(20 * near) / 20)); // the strongest pairs may all be near 1
  const x = (pair) => edge.left + ((pair.r2_spline - low) / (far - low)) * (width - edge.left - edge.right);
  const y = (pair) => height - edge.bottom - (pair.nonlinear_share / top) * (height - edge.top - edge.bottom);
  const of = (pair) => gene === null || pair.regulator === gene || pair.target === gene;
  const inside = (pair) => frame === null || (
    pair.r2_spline >= frame.r2[0] && pair.r2_spline <= frame.r2[1] &&
    pair.nonlinear_share >= frame.share[0] && pair.nonlinear_share <= frame.share[1]);

  function draw() {
    const ratio = devicePixelRatio || 1;
    width = plot.clientWidth;
    height = Math.min(420, Math.max(260, 0.72 * width));
    canvas.width = ratio * width;
    canvas.height = ratio * height;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = "#55616d";
    pen.strokeStyle = "#d9dee4";
    pen.textAlign = "center";
    for (let i = 0; i <= 4; i += 1) {
      const r2 = low + (i / 4) * (far - low);
      const at = x({ r2_spline: r2 });
      pen.fillText(`${(100 * r2).toFixed(far - low < 0.1 ? 1 : 0)}%`, at, height - edge.bottom + 16);
    }
    pen.fillText("r\u00b2 of the curve", (edge.left + width) / 2, height - 6);
    pen.save();
    pen.translate(12, (height - edge.bottom + edge.top) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText("non-linear share", 0, 0);
    pen.restore();
    pen.textAlign = "right";
    for (let i = 0; i <= 4; i += 1) {
      const at = y({ nonlinear_share: (i / 4) * top });
      pen.fillText(`${Math.round(25 * i * top)}%`, edge.left - 6, at + 4);
      pen.beginPath();
      pen.moveTo(edge.left, at);
      pen.lineTo(width - edge.right, at);
      pen.stroke();
    }
    const strong = [];
    for (const pair of drawn) {
      if (of(pair) && inside(pair)) strong.push(pair);
      else mark(pen, pair, 0.13);
    }
    for (const pair of strong) mark(pen, pair, gene === null && frame === null ? 0.6 : 1);
    if (picked !== null && picked.nonlinear_share !== null) {
      pen.globalAlpha = 1;
      pen.strokeStyle = "#1d2733";
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x(picked), y(picked), 9, 0, 2 * Math.PI);
      pen.stroke();
    }
    if (frame !== null) {
      pen.globalAlpha = 1;
      pen.strokeStyle = "#1d2733";
      pen.lineWidth = 1;
      pen.setLineDash([4, 3]);
      const [left, right] = frame.r2.map((value) => x({ r2_spline: Math.max(low, Math.min(far, value)) }));
      const [under, over] = frame.share.map((value) => y({ nonlinear_share: Math.min(top, value) }));
      pen.strokeRect(left, over, right - left, under - over);
      pen.setLineDash([]);
    }
    canvas.setAttribute("aria-label",
      `${drawn.length.toLocaleString("en")} pairs by r\u00b2 of the curve and non-linear share. Left and right go ` +
      "from mark to mark, Enter follows the regulator, Shift and Enter the target.");
  }

  function mark(pen, pair, alpha) {
    const [colour] = MARKS[pair.call], [a, b] = [x(pair), y(pair)];
    pen.globalAlpha = alpha;
    pen.fillStyle = pen.strokeStyle = colour;
    pen.lineWidth = 1.4;
    pen.beginPath();
    if (pair.call === "nonlinear") {
      pen.moveTo(a, b - 4.5);
      pen.lineTo(a + 4.2, b + 3);
      pen.lineTo(a - 4.2, b + 3);
      pen.fill();
    } else if (pair.call === "affine") {
      pen.arc(a, b, 3.4, 0, 2 * Math.PI);
      pen.fill();
    } else {
      pen.moveTo(a - 3, b - 3);
      pen.lineTo(a + 3, b + 3);
      pen.moveTo(a - 3, b + 3);
      pen.lineTo(a + 3, b - 3);
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  const place = (event) => {
    const at = canvas.getBoundingClientRect();
    return [event.clientX - at.left, event.clientY - at.top];
  };
  function nearest([a, b]) {
    let best = null, least = REACH ** 2;
    for (const pair of drawn) {
      if (!of(pair) || !inside(pair)) continue;
      const far2 = (x(pair) - a) ** 2 + (y(pair) - b) ** 2;
      if (far2 < least) [best, least] = [pair, far2];
    }
    return best;
  }
  const sentence = (pair) => `${symbol.get(pair.regulator)} \u2192 ${symbol.get(pair.target)}: ` +
    `${word(pair.call, pairTable)}, r\u00b2 ${number(pair.r2_spline)}, bend ${percent(pair.nonlinear_share)}`;

  function hint(pair) {
    tip.hidden = pair === null;
    if (pair === null) return;
    tip.textContent = sentence(pair);
    const half = Math.min(tip.offsetWidth, width) / 2;
    tip.style.left = `${Math.max(half, Math.min(width - half, x(pair)))}px`;
    tip.style.top = `${y(pair) + (y(pair) < 60 ? 14 : -tip.offsetHeight - 10)}px`;
  }

  function pick(pair) {
    picked = pair;
    said.replaceChildren();
    if (pair !== null) {
      said.append(chip(pair.regulator), " \u2192 ", chip(pair.target),
        ` ${MARKS[pair.call][1]} ${word(pair.call, pairTable)}, r\u00b2 of the curve ${number(pair.r2_spline)}, ` +
        `of the line ${number(pair.r2_linear)}; non-linear share ${percent(pair.nonlinear_share)}`);
    }
    draw();
  }

  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch" && event.button === 0) {
      from = place(event);
      canvas.setPointerCapture(event.pointerId);
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from !== null && moved(event)) {
      frame = between(from, place(event));
      draw();
    } else hint(nearest(place(event)));
  });
  canvas.addEventListener("pointerleave", () => hint(null));
  canvas.addEventListener("pointerup", (event) => {
    const brushed = from !== null && moved(event);
    if (brushed) frame = between(from, place(event));
    from = null;
    if (brushed) bounds();
    else pick(nearest(place(event)));
  });
  canvas.addEventListener("pointercancel", () => { from = null; });
  const moved = (event) => Math.hypot(...place(event).map((value, i) => value - from[i])) > 6;
  function between(one, other) {
    const value = (at, start, end, least, most) =>
      Math.max(least, Math.min(most, least + ((at - start) / (end - start)) * (most - least)));
    const sorted = (list) => list.sort((a, b) => a - b);
    return {
      r2: sorted([one[0], other[0]].map((at) => value(at, edge.left, width - edge.right, low, far))),
      share: sorted([one[1], other[1]].map((at) => value(at, height - edge.bottom, edge.top, 0, top))),
    };
  }
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    const marks = across.filter((pair) => of(pair) && inside(pair));
    if (step && marks.length) {
      event.preventDefault();
      const at = marks.indexOf(picked);
      pick(marks[at < 0 ? 0 : (at + step + marks.length) % marks.length]);
    } else if (event.key === "Enter" && picked !== null) follow(event.shiftKey ? picked.target : picked.regulator);
    else if (event.key === "Escape") clear();
  });

  // --- what is chosen -------------------------------------------------------------------------------------
  const limits = ["r\u00b2", "bend"].flatMap((axis) => ["from", "to"].map((end) => {
    const input = element("input", { type: "number", min: 0, max: 100, step: 1, onchange: typed });
    input.placeholder = end === "from" ? "0" : "100";
    return { input, label: element("label", {}, `${axis} ${end} % `, input) };
  }));
  function typed() {
    const [r2From, r2To, from2, to2] = limits.map(({ input }, i) =>
      (input.value === "" ? i % 2 : Number(input.value) / 100));
    const empty = limits.every(({ input }) => input.value === "");
    frame = empty ? null : { r2: [r2From, r2To], share: [from2, to2] };
    show();
  }
  function bounds() {
    const values = frame === null ? ["", "", "", ""] : [...frame.r2, ...frame.share].map((v) => Math.round(100 * v));
    limits.forEach(({ input }, i) => { input.value = values[i]; });
    show();
  }
  function clear() {
    [gene, frame, picked, trail] = [null, null, null, []];
    search.value = "";
    said.replaceChildren();
    bounds();
  }

  function chip(name) {
    const title = symbol.get(name) === name ? name : `${symbol.get(name)} (${name})`;
    const made = element("button", { type: "button", className: "chip", title, onclick: () => follow(name) });
    made.append(element("bdi", { className: "name", textContent: symbol.get(name) }));
    return made;
  }
  function follow(name) {
    if (name !== gene) trail = [...trail.filter((other) => other !== name), name].slice(-8);
    gene = name;
    if (picked === null) said.replaceChildren();
    search.value = symbol.get(name);
    show();
    panel.focus({ preventScroll: true });
  }

  const names = element("datalist", { id: "explore-genes" });
  const search = element("input", { type: "search", autocomplete: "off" });
  search.setAttribute("list", names.id);
  const known = new Map([...symbol].flatMap(([name, shown]) => [[name.toLowerCase(), name], [shown.toLowerCase(), name]]));
  search.addEventListener("change", () => {
    const wanted = search.value.trim().toLowerCase();
    if (wanted === "") return clear();
    const found = known.get(wanted) || [...symbol.keys()].find((name) =>
      symbol.get(name).toLowerCase().startsWith(wanted) || name.toLowerCase().startsWith(wanted));
    if (found !== undefined) return follow(found);
    picked = null;
    said.textContent = "No listed gene has that name.";
    return undefined;
  });
  names.append(...[...symbol.values()].sort().map((value) => element("option", { value })));

  const panel = element("div", { className: "panel", tabIndex: -1 });
  panel.setAttribute("role", "region");
  panel.setAttribute("aria-label", "What is chosen");

  function bar(pair) {
    const made = element("span", { className: "bar" });
    const share = pair.nonlinear_share ?? 0, r2 = Math.max(0, Math.min(1, pair.r2_spline ?? 0));
    [["line", r2 * (1 - share)], ["bend", r2 * share]].forEach(([name, part]) => {
      const piece = element("span", { className: name });
      piece.style.width = `${100 * part}%`;
      made.append(piece);
    });
    return made;
  }
  function list(title, rows, row) {
    if (!rows.length) return [];
    const items = element("ul", { className: "followed" }, ...rows.slice(0, FIRST).map(row));
    const made = [element("h4", { textContent: title }), items];
    if (rows.length > FIRST) {
      const more = element("button", { type: "button", textContent: `All ${rows.length.toLocaleString("en")}`, onclick: () => {
        items.append(...rows.slice(FIRST).map(row));
        more.remove();
      } });
      made.push(more);
    }
    return made;
  }
  const tally = (rows) => Object.keys(MARKS).map((call) => [rows.filter((row) => row.call === call).length, call])
    .filter(([n]) => n).map(([n, call]) => `${n.toLocaleString("en")} ${MARKS[call][1]} ${word(call, pairTable)}`).join(", ");
  const counted = (n) => `${n.toLocaleString("en")} ${n === 1 ? "pair" : "pairs"}`;
  const listed = (rows) => `${counted(rows.length)} listed${rows.length ? `: ${tally(rows)}` : ""}`;
  const partner = (other) => (pair) => element("li", { className: "pair" }, chip(pair[other]), bar(pair),
    element("span", { className: "value", textContent:
      `${MARKS[pair.call][1]} r\u00b2 ${number(pair.r2_spline)}, bend ${percent(pair.nonlinear_share)}` }));
  const ofTriple = (triple) => element("li", {}, chip(triple.x), " and ", chip(triple.z), " given ", chip(triple.y),
    element("span", { className: "value", textContent: `${word(triple.call, tripleTable)}: ` +
      `${number(triple.partial_spline)} given a curve, ${number(triple.partial_linear)} given a line` }));

  function show() {
    draw();
    const chosen = pairs.filter((pair) => of(pair) && (frame === null || (pair.nonlinear_share !== null && inside(pair))));
    const parts = [];
    if (trail.length > 1) {
      parts.push(element("p", { className: "trail" }, "Followed: ", ...trail.flatMap((name, i) => [i ? " \u203a " : "", chip(name)])));
    }
    if (gene !== null) {
      parts.push(element("h3", {}, element("bdi", { className: "name", textContent: symbol.get(gene) })));
      const mine = triples.filter(({ x: a, y: b, z: c }) => a === gene || b === gene || c === gene);
      const as = (role) => chosen.filter((pair) => pair[role] === gene);
      parts.push(element("p", { textContent: listed(chosen) }));
      parts.push(...list("Its targets", as("regulator"), partner("target")));
      parts.push(...list("Its regulators", as("target"), partner("regulator")));
      parts.push(...list("Its triples", mine, ofTriple));
    } else {
      parts.push(element("p", { textContent: `${frame === null ? "All" : "In the frame"}: ${listed(chosen)}` }));
      const often = new Map();
      for (const pair of chosen) {
        for (const name of [pair.regulator, pair.target]) often.set(name, (often.get(name) || 0) + 1);
      }
      const first = [...often].sort((a, b) => b[1] - a[1] || (symbol.get(a[0]) < symbol.get(b[0]) ? -1 : 1));
      parts.push(...list("Genes most often among them", first, ([name, n]) =>
        element("li", {}, chip(name), element("span", { className: "value", textContent: counted(n) }))));
      if (frame !== null) {
        parts.push(...list("The pairs", chosen, (pair) => element("li", {}, chip(pair.regulator), " \u2192 ", chip(pair.target),
          bar(pair), element("span", { className: "value", textContent: `${MARKS[pair.call][1]} bend ${percent(pair.nonlinear_share)}` }))));
      }
    }
    panel.replaceChildren(...parts);
  }

  const legend = element("p", { className: "soft small-print" },
    ...Object.entries(MARKS).flatMap(([call, [, sign]]) => {
      const made = element("span", { textContent: sign });
      made.style.color = `var(--${call})`;
      return [made, ` ${word(call, pairTable)}\u2003`];
    }), element("br"), "Bars: r\u00b2 of a line, then what only a curve explains.");
  box.append(
    element("div", { className: "controls" }, element("label", {}, "Gene ", search), ...limits.map(({ label }) => label),
      element("button", { type: "button", textContent: "Show all", onclick: clear }), names),
    element("div", { className: "side" }, element("div", {}, plot, legend, said), panel));
  new ResizeObserver(() => { if (plot.clientWidth !== width) draw(); }).observe(plot);
  show();
}

document.querySelectorAll(".explore").forEach((box) => {
  const fold = box.closest("details");
  const begin = () => {
    fold.removeEventListener("toggle", begin);
    if (!box.childElementCount) explore(box);
  };
  if (fold.open) begin();
  else fold.addEventListener("toggle", begin);
});
