"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // light or dark: the reader's system decides until the button is used
  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const named = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; named(); });
  dark.addEventListener("change", named);
  named();

  // tables wider than their box have a shadow on the side that hides columns
  const boxes = [...document.querySelectorAll(".scroll")];
  const shade = () => {
    for (const box of boxes) {
      box.classList.toggle("wide", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
    }
  };
  for (const box of boxes) box.addEventListener("scroll", shade, { passive: true });
  addEventListener("resize", shade);
  shade();

  // tables: sorted by a click on a heading, once more for the other way, a third time for the first order
  const order = (one, two, way) => {
    const [a, b] = [one.dataset.v, two.dataset.v].map((v) => (v === undefined || v === "" ? null : Number(v)));
    const [s, t] = [one.textContent.trim(), two.textContent.trim()];
    if (a !== null && b !== null) return way * (a - b);
    const [numbers, empty] = [(a !== null) - (b !== null), (s === "" || one.matches(".void")) - (t === "" || two.matches(".void"))];
    if (empty) return empty; // what is undefined stands last, whichever way
    return numbers ? -numbers : way * s.localeCompare(t, "en", { numeric: true });
  };
  const sort = (table, head, place) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    rows.forEach((row, i) => { row.dataset.place ??= i; });
    const way = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
    for (const one of table.tHead.rows[0].cells) one.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", way);
    const first = (a, b) => a.dataset.place - b.dataset.place;
    const sign = way === "ascending" ? 1 : -1;
    rows.sort((a, b) => (way === "none" ? 0 : order(a.cells[place], b.cells[place], sign)) || first(a, b));
    body.append(...rows);
  };
  for (const table of document.querySelectorAll("table")) {
    const heads = table.tHead ? [...table.tHead.rows[0].cells] : [];
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, head, place));
    });
    if (!table.matches(".cut")) continue;
    const more = document.createElement("button");
    const count = table.tBodies[0].rows.length;
    const said = () => { more.textContent = table.matches(".whole") ? "Show fewer" : `Show all ${count} rows`; };
    more.type = "button";
    more.addEventListener("click", () => { table.classList.toggle("whole"); said(); });
    said();
    table.parentElement.after(more);
  }

  // charts: the value nearest to the pointer, or, with the arrow keys, one after the other
  const tip = document.getElementById("tip");
  let here = null;
  const hide = () => { here?.classList.remove("here"); here = null; tip.hidden = true; };
  const show = (hit) => {
    if (hit === here) return;
    hide();
    here = hit;
    hit.classList.add("here");
    tip.textContent = hit.dataset.tip;
    tip.hidden = false;
    const box = (hit.querySelector(".mark, .spot, .shade, .fill") ?? hit).getBoundingClientRect();
    const own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(4, box.right + 10), root.clientWidth - own.width - 4);
    const above = box.top - own.height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : box.bottom + 8}px`;
  };
  for (const chart of document.querySelectorAll("svg.chart")) {
    const hits = [...chart.querySelectorAll(".hit")];
    for (const hit of hits) {
      const title = hit.querySelector("title");
      hit.dataset.tip = title.textContent;
      title.remove(); // the browser's own, slower, would stand beside ours
    }
    const nearest = (event) => {
      const at = event.target.closest?.(".hit");
      if (at) return at;
      let best = null, least = 48;
      for (const hit of hits) {
        const box = hit.getBoundingClientRect();
        const far = Math.hypot(box.left + box.width / 2 - event.clientX, box.top + box.height / 2 - event.clientY);
        if (far < least) [best, least] = [hit, far];
      }
      return best;
    };
    const point = (event) => { const hit = nearest(event); if (hit) show(hit); else hide(); };
    chart.addEventListener("pointermove", point);
    chart.addEventListener("pointerdown", point);
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("blur", hide);
    chart.addEventListener("focus", () => { if (chart.matches(":focus-visible") && hits.length) show(hits[0]); });
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step || !hits.length) return;
      event.preventDefault();
      show(hits[(hits.indexOf(here) + step + hits.length) % hits.length]);
    });
  }
  addEventListener("scroll", hide, { passive: true });

  // paper cannot be clicked
  const folded = [];
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; folded.push(one); }
  });
  addEventListener("afterprint", () => { for (const one of folded.splice(0)) one.open = false; });
})();
