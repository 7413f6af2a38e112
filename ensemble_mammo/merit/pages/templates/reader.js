"use strict";
// The program of the reader page. Pictures are kept as greys; a window is a look-up table over them.
// A look says which part of the tiles is seen: zoom (1: whole pictures) and the point in the middle of the tile,
// `across` from the chest wall (0) to the outer edge (1) of a tile, `down` from its top to its bottom. Because both breasts
// count from the chest wall, one look shows the same place in each.
(() => {
  const exam = JSON.parse(document.getElementById("exam").textContent);
  const views = document.getElementById("views");
  const FIRST = { map: true, opacity: 55, colours: "inferno", outlined: false, outline: 60, boxes: true, least: 0,
    invert: false, link: true, lens: false };
  const MOST_ZOOM = 24;
  const LENS = { radius: 95, times: 2.5 };
  const state = { ...FIRST };
  const common = { zoom: 1, across: 0.5, down: 0.5 };
  const ALL = [127.5, 255]; // level and width of a window that shows every grey
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const control = (id) => document.getElementById(id);

  // ---- greys, halved again and again, so that a small picture is neither slow to window nor full of false detail

  function greysOf(image) {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const rgba = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const grey = new Uint8Array(canvas.width * canvas.height);
    for (let i = 0; i < grey.length; i++) grey[i] = rgba[4 * i];
    return { width: canvas.width, height: canvas.height, grey };
  }

  function halved({ width, height, grey }) {
    const w = Math.ceil(width / 2), h = Math.ceil(height / 2);
    const small = new Uint8Array(w * h);
    for (let y = 0; y < h; y++) {
      const top = 2 * y * width, bottom = Math.min(2 * y + 1, height - 1) * width;
      for (let x = 0; x < w; x++) {
        const left = 2 * x, right = Math.min(2 * x + 1, width - 1);
        small[y * w + x] = (grey[top + left] + grey[top + right] + grey[bottom + left] + grey[bottom + right] + 2) >> 2;
      }
    }
    return { width: w, height: h, grey: small };
  }

  function pyramidOf(image) {
    const levels = [greysOf(image)];
    while (Math.min(levels.at(-1).width, levels.at(-1).height) > 160) levels.push(halved(levels.at(-1)));
    return levels;
  }

  // ---- window: grey -> grey on the screen

  function tableOf(level, width) {
    const table = new Uint8Array(256);
    for (let grey = 0; grey < 256; grey++) {
      const shown = clamp(((grey - level) / Math.max(1, width) + 0.5) * 255, 0, 255);
      table[grey] = Math.round(state.invert ? 255 - shown : shown);
    }
    return table;
  }

  function windowed(level, table) {
    if (level.key === table.key) return level.canvas;
    level.canvas ??= Object.assign(document.createElement("canvas"), { width: level.width, height: level.height });
    const context = level.canvas.getContext("2d");
    const image = context.createImageData(level.width, level.height);
    const words = new Uint32Array(image.data.buffer);
    const rgba = Uint32Array.from(table, (grey) => (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0);
    for (let i = 0; i < words.length; i++) words[i] = rgba[level.grey[i]];
    context.putImageData(image, 0, 0);
    level.key = table.key;
    return level.canvas;
  }

  // Windows for one view from its own greys, the background (darker than 10) left out.
  function windowsOf(levels) {
    const counts = new Float64Array(256);
    for (const grey of levels.at(-1).grey) counts[grey] += 1;
    counts.fill(0, 0, 10);
    const total = counts.reduce((sum, one) => sum + one, 0);
    if (!total) return { all: ALL, tissue: ALL, dense: ALL, skin: ALL };
    const at = (share) => {
      let sum = 0;
      for (let grey = 0; grey < 256; grey++) if ((sum += counts[grey]) >= share * total) return grey;
      return 255;
    };
    const between = (low, high) => [(low + high) / 2, Math.max(8, high - low)];
    return { all: ALL, tissue: between(at(0.02), Math.min(255, at(0.998) + 6)),
      dense: between(at(0.4), Math.min(255, at(0.999) + 4)), skin: between(0, at(0.6)) };
  }

  // ---- map: values between the pixels of the map, coloured; alpha grows with the value

  function enlarged(map) {
    const times = Math.max(1, Math.ceil(256 / Math.max(map.width, map.height)));
    const width = map.width * times, height = map.height * times, values = new Float32Array(width * height);
    const place = (i, count) => {
      const at = clamp((i + 0.5) / times - 0.5, 0, count - 1), low = Math.floor(at);
      return [low, Math.min(low + 1, count - 1), at - low];
    };
    for (let y = 0; y < height; y++) {
      const [top, bottom, v] = place(y, map.height);
      for (let x = 0; x < width; x++) {
        const [left, right, u] = place(x, map.width);
        const upper = map.grey[top * map.width + left] * (1 - u) + map.grey[top * map.width + right] * u;
        const lower = map.grey[bottom * map.width + left] * (1 - u) + map.grey[bottom * map.width + right] * u;
        values[y * width + x] = (upper * (1 - v) + lower * v) / 255;
      }
    }
    return { width, height, values };
  }

  function colourAt(name, value) {
    const stops = exam.colours[name], at = value * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((part, i) => Math.round(part + (stops[low + 1][i] - part) * (at - low)));
  }

  function coloured(map, name) {
    if (map.colours === name) return map.canvas;
    map.canvas ??= Object.assign(document.createElement("canvas"), { width: map.width, height: map.height });
    const context = map.canvas.getContext("2d");
    const image = context.createImageData(map.width, map.height);
    const table = Array.from({ length: 256 }, (_, i) => colourAt(name, i / 255));
    map.values.forEach((value, i) => {
      const grey = Math.round(value * 255);
      image.data.set(table[grey], 4 * i);
      image.data[4 * i + 3] = grey;
    });
    context.putImageData(image, 0, 0);
    map.colours = name;
    return map.canvas;
  }

  // The line on which the map has a value (marching squares), in shares of its width and height; outside it is 0.
  function outlineOf(map, value) {
    if (map.outlineAt === value) return map.outline;
    const { width, height, values } = map, path = [];
    const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : values[y * width + x]);
    const put = (x, y) => path.push(clamp((x + 0.5) / width, 0, 1), clamp((y + 0.5) / height, 0, 1));
    for (let y = -1; y < height; y++) {
      for (let x = -1; x < width; x++) {
        const corner = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)], cuts = [];
        for (let side = 0; side < 4; side++) {
          const a = corner[side], b = corner[(side + 1) % 4];
          if (a >= value === b >= value) continue;
          const t = (value - a) / (b - a);
          cuts.push([[x + t, y], [x + 1, y + t], [x + 1 - t, y + 1], [x, y + 1 - t]][side]);
        }
        for (const cut of cuts) put(...cut);
      }
    }
    map.outlineAt = value;
    map.outline = path;
    return path;
  }

  // ---- a tile

  class Tile {
    constructor(element) {
      this.element = element;
      this.view = element.dataset.view;
      this.right = element.classList.contains("right");
      this.canvas = element.querySelector("canvas");
      this.look = common;
      this.flip = false;
      [this.level, this.width] = ALL;
      this.boxes = exam.views[this.view].boxes;
      this.mm = exam.views[this.view].mm;
    }

    async load() {
      const decoded = async (name) => {
        const image = this.element.querySelector(`img.${name}`);
        if (image) await image.decode();
        return image;
      };
      this.levels = pyramidOf(await decoded("picture"));
      const map = await decoded("map");
      this.map = map && enlarged(greysOf(map));
      [this.columns, this.rows] = [this.levels[0].width, this.levels[0].height];
      this.windows = windowsOf(this.levels);
      for (const image of this.element.querySelectorAll("img")) image.remove(); // the greys are kept
    }

    measure() {
      const box = this.canvas.getBoundingClientRect();
      [this.wide, this.high] = [Math.max(1, box.width), Math.max(1, box.height)];
      this.density = (window.devicePixelRatio || 1) * print.times;
      const [width, height] = [Math.round(this.wide * this.density), Math.round(this.high * this.density)];
      if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    }

    // Screen pixels a pixel of the picture at which it just fits its tile.
    fits() { return Math.min(this.wide / this.columns, this.high / this.rows); }

    // Where the picture lies in the tile for a look: left, top, scale.
    placed(look = this.look) {
      const scale = this.fit * look.zoom;
      const across = this.right ? 1 - look.across : look.across;
      const left = this.right ? this.wide - this.columns * this.fit : 0;
      const top = (this.high - this.rows * this.fit) / 2;
      return { scale, left: (left - across * this.wide) * look.zoom + this.wide / 2,
        top: (top - look.down * this.high) * look.zoom + this.high / 2 };
    }

    draw() {
      const key = `${this.level} ${this.width} ${state.invert}`;
      const table = this.table?.key === key ? this.table : Object.assign(tableOf(this.level, this.width), { key });
      this.table = table;
      const context = this.canvas.getContext("2d");
      context.setTransform(this.density, 0, 0, this.density, 0, 0);
      context.fillStyle = `rgb(${table[0]} ${table[0]} ${table[0]})`;
      context.fillRect(0, 0, this.wide, this.high);
      this.paint(context, this.placed());
      if (this.mm) this.rule(context);
      if (state.lens && this.pointer) this.lens(context);
      Object.assign(this.element.dataset, { zoom: this.look.zoom.toFixed(3), across: this.look.across.toFixed(4),
        down: this.look.down.toFixed(4), map: String(Boolean(this.map) && state.map), flipped: String(this.flip),
        level: this.level.toFixed(1), width: this.width.toFixed(1), boxes: String(state.boxes ? this.shownBoxes().length : 0) });
      this.element.classList.toggle("zoomed", this.look.zoom > 1);
      const times = this.look.zoom > 1.005 ? `${this.look.zoom.toFixed(1)}×` : "";
      this.element.querySelector(".magnified").textContent = times;
    }

    paint(context, { left, top, scale }) {
      const wanted = Math.floor(Math.log2(1 / (scale * this.density)));
      const level = this.levels[clamp(wanted, 0, this.levels.length - 1)];
      const [width, height] = [this.columns * scale, this.rows * scale];
      context.save();
      context.translate(left, top);
      if (this.flip) context.transform(-1, 0, 0, 1, width, 0);
      context.imageSmoothingQuality = "high";
      context.drawImage(windowed(level, this.table), 0, 0, width, height);
      if (this.map && state.map) {
        context.globalAlpha = state.opacity / 100;
        context.drawImage(coloured(this.map, state.colours), 0, 0, width, height);
        context.globalAlpha = 1;
        if (state.outlined) this.outline(context, width, height);
      }
      context.restore();
      if (state.boxes) this.frames(context, left, top, scale);
    }

    outline(context, width, height) {
      const path = outlineOf(this.map, state.outline / 100);
      context.beginPath();
      for (let i = 0; i + 3 < path.length; i += 4) {
        context.moveTo(path[i] * width, path[i + 1] * height);
        context.lineTo(path[i + 2] * width, path[i + 3] * height);
      }
      for (const [colour, thick] of [["rgb(0 0 0 / .6)", 3], ["#fff", 1.25]]) {
        Object.assign(context, { strokeStyle: colour, lineWidth: thick, lineCap: "round" });
        context.stroke();
      }
    }

    shownBoxes() { return this.boxes.filter((box) => box.score === null || box.score >= state.least / 100); }

    frames(context, left, top, scale) {
      context.save();
      context.font = "600 12px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
      const taken = [];
      for (const box of this.shownBoxes()) {
        const [x0, y0, x1, y1] = box.at, first = this.flip ? this.columns - x1 : x0;
        const at = [left + first * scale, top + y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale];
        if (at[0] > this.wide || at[1] > this.high || at[0] + at[2] < 0 || at[1] + at[3] < 0) continue;
        const colour = box.score === null ? "#6fd3ff" : "#ffcf4a";
        context.setLineDash(box.score === null ? [6, 4] : []);
        for (const [stroke, thick] of [["rgb(0 0 0 / .65)", 3.5], [colour, 1.5]]) {
          Object.assign(context, { strokeStyle: stroke, lineWidth: thick });
          context.strokeRect(...at);
        }
        this.name(context, box, at, colour, taken);
      }
      context.restore();
    }

    // The words of a box: above it or below, where no other words stand.
    name(context, box, [left, top, , height], colour, taken) {
      const words = `${box.label} ${box.score === null ? "" : box.score.toFixed(2)}`.trim();
      const long = context.measureText(words).width, x = clamp(left, 2, Math.max(2, this.wide - long - 4));
      const free = (y) => y > 12 && y < this.high - 3
        && !taken.some((one) => Math.abs(one.y - y) < 13 && x < one.x + one.long && one.x < x + long);
      const places = [top - 5, top + height + 14, top - 19, top + height + 28, top - 33, top + height + 42];
      const y = places.find(free);
      if (!words || y === undefined) return;
      taken.push({ x, y, long });
      Object.assign(context, { strokeStyle: "rgb(0 0 0 / .8)", lineWidth: 3, fillStyle: colour });
      context.setLineDash([]);
      context.strokeText(words, x, y);
      context.fillText(words, x, y);
    }

    // A bar of 1, 2 or 5 cm (or mm) at the outer edge.
    rule(context) {
      const pixel = this.mm / (this.fit * this.look.zoom);
      const mm = [1, 2, 5, 10, 20, 50].findLast((length) => length / pixel <= this.high / 4) ?? 1;
      const long = mm / pixel, x = this.right ? 12 : this.wide - 12, y = this.high / 2 - long / 2;
      const words = mm < 10 ? `${mm} mm` : `${mm / 10} cm`;
      context.save();
      context.font = "11px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
      context.textAlign = this.right ? "left" : "right";
      for (const [colour, thick] of state.invert ? [["#fff", 3], ["#222", 1]] : [["#000", 3], ["#c3cad1", 1]]) {
        Object.assign(context, { strokeStyle: colour, lineWidth: thick, fillStyle: colour });
        context.beginPath();
        for (const [a, b] of [[y, y], [y, y + long], [y + long, y + long]]) {
          context.moveTo(x - (a === b ? 4 : 0), a);
          context.lineTo(x + (a === b ? 4 : 0), b);
        }
        context.stroke();
        if (thick > 1) context.strokeText(words, x + (this.right ? 8 : -8), this.high / 2 + 4);
        else context.fillText(words, x + (this.right ? 8 : -8), this.high / 2 + 4);
      }
      context.restore();
    }

    lens(context) {
      const table = this.table;
      const [x, y] = this.pointer, { left, top, scale } = this.placed();
      context.save();
      context.beginPath();
      context.arc(x, y, LENS.radius, 0, 2 * Math.PI);
      context.clip();
      context.fillStyle = `rgb(${table[0]} ${table[0]} ${table[0]})`;
      context.fill();
      this.paint(context, { scale: scale * LENS.times, left: x - (x - left) * LENS.times,
        top: y - (y - top) * LENS.times });
      context.restore();
      Object.assign(context, { strokeStyle: "#98a2ac", lineWidth: 1.5 });
      context.beginPath();
      context.arc(x, y, LENS.radius, 0, 2 * Math.PI);
      context.stroke();
    }

    // A point on the screen in shares of the tile, counted from the chest wall and the top.
    share(x, y) { return [this.right ? 1 - x / this.wide : x / this.wide, y / this.high]; }

    zoomAt(x, y, times) {
      const [a, b] = this.share(x, y), look = this.look;
      const zoom = clamp(look.zoom * times, 1, MOST_ZOOM), gain = 1 / look.zoom - 1 / zoom;
      Object.assign(look, { zoom, across: look.across + (a - 0.5) * gain, down: look.down + (b - 0.5) * gain });
      held(look);
    }

    move(dx, dy) {
      const sign = this.right ? 1 : -1;
      this.look.across += (sign * dx) / this.wide / this.look.zoom;
      this.look.down -= dy / this.high / this.look.zoom;
      held(this.look);
    }
  }

  function held(look) {
    const half = 0.5 / look.zoom;
    look.across = clamp(look.across, half, 1 - half);
    look.down = clamp(look.down, half, 1 - half);
    later();
  }

  // ---- all tiles

  const tiles = [...document.querySelectorAll(".tile:not(.absent)")].map((element) => new Tile(element));
  const print = { times: 1 };
  let chosen = null, ready = false, waiting = 0;

  function drawAll() {
    waiting = 0;
    if (!ready) return;
    const seen = tiles.filter((tile) => tile.element.offsetParent !== null);
    for (const tile of seen) { tile.measure(); tile.fit = tile.fits(); }
    if (seen.length && seen.every((tile) => tile.mm)) { // the same magnification for all
      const scale = Math.min(...seen.map((tile) => tile.fit / tile.mm));
      for (const tile of seen) tile.fit = scale * tile.mm;
    }
    for (const tile of seen) tile.draw();
  }

  function later() { waiting ||= requestAnimationFrame(drawAll); }

  // ---- controls

  function set(changes) {
    Object.assign(state, changes);
    state.opacity = clamp(state.opacity, 0, 100);
    show();
    later();
  }

  const together = () => (state.link ? tiles : [chosen]);

  // Move level and width; linked views keep the differences that their own windows had.
  function shiftWindow(level, width) {
    for (const tile of together()) {
      tile.level = clamp(tile.level + level, 0, 255);
      tile.width = clamp(tile.width + width, 1, 255);
    }
    set({});
  }

  function show() {
    const values = { ...state, level: chosen?.level ?? ALL[0], width: chosen?.width ?? ALL[1] };
    for (const [name, value] of Object.entries(values)) {
      const input = control(name);
      if (!input) continue;
      if (input.type === "checkbox") input.checked = value;
      else input.value = value;
      const output = input.parentElement.querySelector("output");
      if (output) output.value = { level: Math.round(value), width: Math.round(value), least: (value / 100).toFixed(2),
        outline: (value / 100).toFixed(2) }[name] ?? `${Math.round(value)}%`;
    }
    for (const button of document.querySelectorAll("[data-preset]")) {
      const [level, width] = chosen?.windows?.[button.dataset.preset] ?? [];
      button.setAttribute("aria-pressed", String(level === chosen?.level && width === chosen?.width));
    }
    views.classList.toggle("inverted", state.invert);
    for (const words of document.querySelectorAll(".mapped")) words.hidden = !state.map;
    const legend = control("legend");
    if (legend) legend.style.background = `linear-gradient(to right, ${exam.colours[state.colours].map((rgb) => `rgb(${rgb.join(" ")})`)})`;
  }

  function say(words) { control("said").textContent = words; }

  function toggle(name, words) {
    if (!control(name)) return;
    set({ [name]: !state[name] });
    if (name === "link") relink();
    say(`${words} ${state[name] ? "on" : "off"}`);
  }

  function relink() {
    if (state.link && chosen) Object.assign(common, chosen.look);
    for (const tile of tiles) tile.look = state.link ? common : { ...tile.look };
    later();
  }

  function fit(tile) {
    for (const one of state.link ? tiles : [tile]) Object.assign(one.look, { zoom: 1, across: 0.5, down: 0.5 });
    later();
  }

  function reset() {
    Object.assign(state, FIRST);
    relink();
    fit(chosen);
    for (const tile of tiles) {
      [tile.level, tile.width] = ALL;
      if (tile.flip) turn(tile, false);
    }
    views.classList.remove("alone");
    set({});
    say("as at first");
  }

  function choose(tile) {
    chosen = tile;
    for (const one of tiles) one.element.classList.toggle("chosen", one === tile);
    show();
  }

  function turn(tile, flip) {
    tile.flip = flip;
    tile.element.querySelector(".flip").setAttribute("aria-pressed", String(flip));
    tile.element.querySelector(".flipped").hidden = !flip;
    later();
  }

  // All views that came turned; back again if they all are turned over here.
  function turnAll() {
    const turned = tiles.filter((tile) => tile.element.querySelector(".flip"));
    const flip = !turned.every((tile) => tile.flip);
    for (const tile of turned) turn(tile, flip);
  }

  function alone(tile) {
    choose(tile);
    say(views.classList.toggle("alone") ? `${tile.view} alone` : "all four views");
    later();
  }

  function zoomMiddle(times) { chosen.zoomAt(chosen.wide / 2, chosen.high / 2, times); }

  function pixels() { zoomMiddle(1 / (chosen.fit * chosen.look.zoom * (window.devicePixelRatio || 1))); }

  function preset(name) {
    for (const tile of together()) [tile.level, tile.width] = tile.windows[name];
    set({});
    say(`window ${name}`);
  }

  function listenToPanel() {
    for (const name of Object.keys(FIRST)) {
      const input = control(name);
      input?.addEventListener("input", () => {
        set({ [name]: input.type === "checkbox" ? input.checked : input.type === "range" ? Number(input.value) : input.value });
        if (name === "link") relink();
      });
    }
    control("level").addEventListener("input", (event) => shiftWindow(Number(event.target.value) - chosen.level, 0));
    control("width").addEventListener("input", (event) => shiftWindow(0, Number(event.target.value) - chosen.width));
    for (const button of document.querySelectorAll("[data-preset]")) {
      button.addEventListener("click", () => preset(button.dataset.preset));
    }
    const clicks = { in: () => zoomMiddle(1.25), out: () => zoomMiddle(0.8), fit: () => fit(chosen), pixels, reset,
      help: () => control("keys").showModal() };
    for (const [id, action] of Object.entries(clicks)) control(id).addEventListener("click", action);
  }

  // ---- keys

  const KEYS = {
    m: () => toggle("map", "map"), b: () => toggle("boxes", "boxes"), i: () => toggle("invert", "inverted"),
    l: () => toggle("link", "all views together"), z: () => toggle("lens", "magnifier"), o: () => toggle("outlined", "outline"),
    "[": () => set({ opacity: state.opacity - 5 }), "]": () => set({ opacity: state.opacity + 5 }),
    "+": () => zoomMiddle(1.25), "=": () => zoomMiddle(1.25), "-": () => zoomMiddle(0.8), 0: () => fit(chosen),
    1: () => preset("all"), 2: () => preset("tissue"), 3: () => preset("dense"), 4: () => preset("skin"),
    f: () => alone(tiles.find((tile) => tile.pointer) ?? chosen), t: turnAll, r: reset, "?": () => control("keys").showModal(),
  };
  const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  function listenToKeys() {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || control("keys").open || !chosen) return;
      const inControl = event.target.closest?.("select, input[type=range]");
      if (ARROWS[event.key] && !inControl && (event.target.closest?.(".tile") || event.target === document.body)) {
        const [x, y] = ARROWS[event.key];
        if (event.shiftKey) shiftWindow(-4 * y, -8 * x);
        else chosen.move(40 * x, 40 * y);
        event.preventDefault();
      } else if (KEYS[event.key.toLowerCase()] && !event.target.closest?.("select")) {
        KEYS[event.key.toLowerCase()]();
        event.preventDefault();
      }
    });
  }

  // ---- mouse, pen, fingers

  function listenTo(tile) {
    const { element } = tile, fingers = new Map();
    const at = (event) => {
      const box = tile.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    element.addEventListener("focusin", () => choose(tile));
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      choose(tile);
      tile.zoomAt(...at(event), Math.exp(-clamp(event.deltaY, -240, 240) / 480));
    }, { passive: false });
    element.addEventListener("dblclick", (event) => { if (!event.target.closest("button")) fit(tile); });
    element.addEventListener("pointerdown", (event) => {
      if (event.target.closest("button")) return;
      choose(tile);
      fingers.set(event.pointerId, at(event));
      element.setPointerCapture(event.pointerId);
      element.classList.add("dragged");
    });
    element.addEventListener("pointermove", (event) => {
      tile.pointer = at(event);
      if (state.lens) later();
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = at(event), dx = now[0] - before[0], dy = now[1] - before[1];
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const apart = (point) => Math.max(10, Math.hypot(point[0] - other[0], point[1] - other[1]));
        tile.zoomAt((now[0] + other[0]) / 2, (now[1] + other[1]) / 2, apart(now) / apart(before));
        tile.move(dx / 2, dy / 2);
      } else if (event.buttons & 2) shiftWindow(dy / 2, dx / 2);
      else tile.move(dx, dy);
      fingers.set(event.pointerId, now);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      element.addEventListener(name, (event) => {
        fingers.delete(event.pointerId);
        if (!fingers.size) element.classList.remove("dragged");
      });
    }
    element.addEventListener("pointerleave", () => { tile.pointer = null; later(); });
    element.querySelector(".enlarge").addEventListener("click", () => alone(tile));
    element.querySelector(".flip")?.addEventListener("click", () => turn(tile, !tile.flip));
  }

  // ---- begin

  async function begin() {
    for (const tile of [...tiles]) {
      try {
        await tile.load();
      } catch {
        tiles.splice(tiles.indexOf(tile), 1);
        tile.element.classList.add("broken");
        tile.element.append(Object.assign(document.createElement("p"), { textContent: "This picture cannot be read" }));
      }
    }
    ready = true;
    show();
    if (tiles.length) { choose(tiles[0]); listenToPanel(); listenToKeys(); }
    tiles.forEach(listenTo);
    new ResizeObserver(later).observe(views);
    window.addEventListener("beforeprint", () => { print.times = 2; drawAll(); });
    window.addEventListener("afterprint", () => { print.times = 1; later(); });
    drawAll();
    document.documentElement.dataset.ready = "true";
  }

  window.reader = { state, tiles };
  begin();
})();
