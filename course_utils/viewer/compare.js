// The comparer's core: plain JavaScript, no dependency, no build step. It has two doors: compare.py wraps it in a
// function and calls start(id, config); live.py makes it a module that calls open(host, config, changed).
// Both put STYLE and MARKUP, the texts of compare.css and compare.html, in front.
//
// config: names; pages: lists of <img>, one for each name; whole: for each page and name its figures, from Python's
// floats; reference: an index into names, or -1; view: [top, left, height, width] or null; mode; caption; note.

// ---- Settings

const MODES = ["split", "side", "flicker", "difference"];
const SCALES = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
const TALLEST = 600; // CSS pixels, of the stage
const GAP = 6; // CSS pixels, between images side by side

const KEYS = { // key: action of a comparer c; Shift goes the other way, or further
  ArrowLeft: (c, event) => c.arrow(-1, 0, event), ArrowRight: (c, event) => c.arrow(1, 0, event),
  ArrowUp: (c, event) => c.arrow(0, -1, event), ArrowDown: (c, event) => c.arrow(0, 1, event),
  "+": (c) => c.step(1), "=": (c) => c.step(1), "-": (c) => c.step(-1), 0: (c) => c.set({ zoom: 0 }),
  a: (c) => c.show("left"), b: (c) => c.show("right"), " ": (c) => c.flip(),
  m: (c, event) => c.set({ mode: MODES.at((MODES.indexOf(c.state.mode) + (event.shiftKey ? -1 : 1)) % 4) }),
  x: (c) => c.set({ left: c.state.right, right: c.state.left }),
  v: (c) => c.set({ line: c.state.line === "vertical" ? "horizontal" : "vertical" }),
  g: (c, event) => c.set({ gain: clamp(c.state.gain * (event.shiftKey ? 0.5 : 2), 1, 64) }),
  j: (c) => c.moveMark(-1, 0), l: (c) => c.moveMark(1, 0), i: (c) => c.moveMark(0, -1), k: (c) => c.moveMark(0, 1),
  h: (c) => c.set({ histogram: !c.state.histogram }), "?": (c) => c.set({ help: !c.state.help }),
  PageUp: (c) => c.leaf(-1), PageDown: (c) => c.leaf(1),
};
for (let zoom = 1; zoom <= 9; zoom++) KEYS[zoom] = (c) => c.enlarge(zoom);

// ---- Starting

function start(id, config) {
  for (const host of document.querySelectorAll(`[id="${id}"]`)) {
    if (host.shadowRoot) continue; // shown twice
    const images = [...host.querySelectorAll("img")];
    open(host, { ...config, pages: config.whole.map((figures) => images.splice(0, figures.length)) });
  }
}

async function open(host, config, changed = () => {}) {
  const root = host.attachShadow({ mode: "open" }); // hides the stills before they are painted
  const images = await Promise.all(config.pages[0].map(decode)).catch((error) => {
    root.append(make("slot", {})); // shows them again
    throw error;
  });
  return (host.comparer = new Comparer(host, config, images, changed));
}

async function decode(image) {
  if (!image.complete) await new Promise((done, fail) => Object.assign(image, { onload: done, onerror: fail }));
  return { bitmap: await createImageBitmap(image) };
}

// ---- Numbers: of 8-bit pixels {width, data: RGBA}; an area is {row, column, rows, columns}

function pixelsOf(image) {
  const { width, height } = image.bitmap;
  if (!image.pixels) {
    const context = make("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
    context.drawImage(image.bitmap, 0, 0);
    image.pixels = context.getImageData(0, 0, width, height);
  }
  return image.pixels;
}

function psnr(x, y, area) {
  let sum = 0;
  for (let row = area.row; row < area.row + area.rows; row++) {
    const first = 4 * (row * x.width + area.column);
    for (let i = first; i < first + 4 * area.columns; i++) sum += (x.data[i] - y.data[i]) ** 2; // alpha is equal
  }
  return sum ? `${(10 * Math.log10((255 ** 2 * 3 * area.rows * area.columns) / sum)).toFixed(2)} dB` : "equal";
}

function differenceMap(x, y, gain, signed) {
  const map = new ImageData(x.width, x.height);
  const data = map.data.fill(255); // alpha; it clamps to 0..255
  for (let i = 0; i < data.length; i++) {
    const value = gain * (x.data[i] - y.data[i]);
    if (i % 4 < 3) data[i] = signed ? 128 + value / 2 : Math.abs(value);
  }
  const canvas = make("canvas", { width: x.width, height: x.height });
  canvas.getContext("2d").putImageData(map, 0, 0);
  return canvas;
}

function histogram({ width, data }, area, channel) { // {counts of the 256 levels, their mean}
  const counts = Array(256).fill(0);
  for (let row = area.row; row < area.row + area.rows; row++) {
    const first = 4 * (row * width + area.column) + channel;
    for (let i = first; i < first + 4 * area.columns; i += 4) counts[data[i]]++;
  }
  const sum = counts.reduce((total, count, level) => total + count * level, 0);
  return { counts, mean: (sum / (area.rows * area.columns)).toFixed(1) };
}

// ---- Small helpers

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function place(element, box) { // left, top, width, height in CSS pixels
  for (const [side, value] of Object.entries(box)) element.style[side] = `${value}px`;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// ---- The comparer: `state` is what a reader can change, `area` what follows from it: the visible part, in image
// pixels, and `scale`, the screen pixels for each of them (whole when it enlarges, so that pixels stay exact squares)

class Comparer {
  constructor(host, config, images, changed) {
    Object.assign(this, { host, config, images, changed, pointers: new Map(), wheel: 0, mark: null });
    this.state = {
      mode: config.mode, left: 0, right: 1, page: 0, position: 0.5, line: "vertical", zoom: 0, row: 0, column: 0,
      gain: 4, signed: false, shown: "left", histogram: false, help: false,
    };
    this.root = host.shadowRoot;
    this.build();
    this.listen();
    this.layout();
  }

  get size() {
    return this.images[0].bitmap; // has width and height
  }

  get ratio() {
    return window.devicePixelRatio;
  }

  get base() { // what differences are taken from
    return this.config.reference >= 0 ? this.config.reference : this.state.right;
  }

  // -- Building

  build() {
    const { names, pages, reference, caption, note } = this.config;
    this.root.innerHTML = `<style>${STYLE}</style>${MARKUP}`;
    const find = (selector) => this.root.querySelector(selector);
    const sides = (tag) => ({ left: find(`${tag}[data-side=left]`), right: find(`${tag}[data-side=right]`) });
    Object.assign(this, { stage: find(".stage"), handle: find(".handle"), tag: find(".tag"), leaves: find(".leaves"),
      percent: find(".percent"), gain: find(".gain"), chart: find("figure"), section: find("section"),
      canvases: sides("canvas"), picks: sides("select"), marks: sides(".mark") });
    for (const side of ["left", "right"]) this.picks[side].append(...names.map((name) => make("option", {}, name)));
    const head = reference < 0 ? ["Image", "Pixel"] : ["Image", "Whole image", "In view", "Pixel"];
    this.heads = head.map((text) => make("th", { scope: "col" }, text));
    this.rows = names.map((name) => head.map((_, i) => (i ? make("td", {}) : make("th", { scope: "row" }, name))));
    find("thead tr").append(...this.heads);
    find("tbody").append(...this.rows.map((cells) => make("tr", {}, ...cells)));
    this.section.setAttribute("aria-label", `Comparison of ${names.join(", ")}`);
    this.chart.before(...[note, caption].filter(Boolean).map((text) => make("p", {}, text)));
    this.leaves.hidden = pages.length < 2;
    this.picks.right.classList.toggle("unused", reference >= 0); // by differences: they are to the reference
  }

  listen() {
    const { root, stage, picks, gain } = this;
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("click", ({ target: { dataset } }) => {
      if (dataset.mode) this.set({ mode: dataset.mode });
      if (dataset.key) KEYS[dataset.key](this, {});
    });
    for (const side of ["left", "right"]) picks[side].onchange = () => this.set({ [side]: picks[side].selectedIndex });
    const [power, signed] = gain.querySelectorAll("input");
    gain.oninput = () => this.set({ gain: 2 ** power.value, signed: signed.checked });
    stage.addEventListener("wheel", (event) => this.roll(event), { passive: false });
    stage.onpointerdown = (event) => this.press(event);
    stage.onpointermove = (event) => this.move(event);
    stage.onpointerup = stage.onpointercancel = (event) => this.release(event);
    stage.onpointerleave = () => this.pointers.size || this.point(null);
    const resized = () => this.layout();
    const observer = new ResizeObserver(resized);
    observer.observe(this.host);
    window.addEventListener("resize", resized);
    this.close = () => {
      observer.disconnect();
      window.removeEventListener("resize", resized);
    };
  }

  // -- State

  set(changes) {
    const { state } = this;
    const { page } = state;
    Object.assign(state, changes);
    state.position = clamp(state.position, 0, 1);
    if (state.page !== page) this.load();
    if (!this.stage.clientWidth) return; // not on the screen yet: layout will be called
    this.area = this.visible();
    state.row = clamp(Math.round(state.row), 0, this.size.height - this.area.rows);
    state.column = clamp(Math.round(state.column), 0, this.size.width - this.area.columns);
    if (state.mode !== "split" && this.root.activeElement === this.handle) this.stage.focus(); // it goes
    this.frame ??= requestAnimationFrame(() => this.paint());
  }

  async load() {
    const wanted = (this.wanted = this.config.pages[this.state.page]);
    const images = await Promise.all(wanted.map(decode));
    if (wanted !== this.wanted) return; // leafed on meanwhile
    this.images.forEach((image) => image.bitmap.close());
    this.images = images;
    this.set({});
  }

  update(config) { // new images, of the same names and size
    Object.assign(this.config, config);
    return this.load();
  }

  layout() {
    if (!this.stage.clientWidth) return;
    const { width, height } = this.size;
    const [top, left, rows, columns] = this.config.view || [0, 0, height, width];
    const scale = this.fitting(rows, columns, TALLEST * this.ratio);
    this.tall = Math.max(1, Math.floor(rows * scale)); // of the stage, in screen pixels
    place(this.stage, { height: this.tall / this.ratio });
    if (!this.area && this.config.view) {
      this.state.zoom = scale / this.ratio;
      const area = this.visible();
      Object.assign(this.state, { row: top + (rows - area.rows) / 2, column: left + (columns - area.columns) / 2 });
    }
    this.set({});
  }

  get paneWidth() { // in screen pixels
    const panes = this.state.mode === "side" ? 2 : 1;
    return Math.floor(((this.stage.clientWidth - GAP * (panes - 1)) / panes) * this.ratio);
  }

  fitting(rows, columns, tall) { // the scale at which so many pixels fit
    const scale = Math.min(this.paneWidth / columns, tall / rows, 64);
    return scale < 1 ? scale : Math.floor(scale + 1e-6);
  }

  visible() {
    const { width, height } = this.size;
    const fit = this.fitting(height, width, this.tall);
    const wanted = this.state.zoom * this.ratio || fit;
    const scale = wanted < 1 ? wanted : Math.min(Math.round(wanted), 64);
    const rows = clamp(Math.floor(this.tall / scale + 1e-6), 1, height);
    const pane = this.paneWidth;
    const columns = clamp(Math.floor(pane / scale + 1e-6), 1, width);
    const [w, h] = [Math.round(columns * scale), Math.round(rows * scale)]; // on the screen, in the middle of its pane
    const [left, top] = [Math.floor((pane - w) / 2), Math.floor((this.tall - h) / 2)];
    return { scale, fit, rows, columns, width: w, height: h, left, top, pane };
  }

  get canPan() {
    return this.area.rows < this.size.height || this.area.columns < this.size.width;
  }

  get centre() {
    const { state, area } = this;
    return { row: state.row + area.rows / 2, column: state.column + area.columns / 2 };
  }

  get report() { // for Python
    const { mode, page, position, left, right, row, column } = this.state;
    const { names } = this.config;
    const view = [row, column, this.area.rows, this.area.columns];
    return { mode, page, position, left: names[left], right: names[right], zoom: this.area.scale / this.ratio, view };
  }

  // -- Painting

  paint() {
    this.frame = null;
    const { mode, line, shown, histogram, help, left, right } = this.state;
    Object.assign(this.section.dataset, { mode, line, shown, histogram, help }); // compare.css shows what belongs there
    this.stage.style.touchAction = this.canPan ? "none" : "pan-y";
    this.draw("left", mode === "difference" ? this.difference() : this.images[left]);
    if (mode !== "difference") this.draw("right", this.images[right]);
    this.paintLine();
    this.paintTools();
    this.paintMark();
    this.measureSoon();
    this.host.dataset.ready = "true";
    this.changed(this.report);
  }

  box(side) { // of a canvas, in CSS pixels
    const { area, ratio } = this;
    const pane = side === "right" && this.state.mode === "side" ? area.pane + Math.round(GAP * ratio) : 0;
    const left = (pane + area.left) / ratio;
    return { left, top: area.top / ratio, width: area.width / ratio, height: area.height / ratio };
  }

  draw(side, image) {
    const { area, state } = this;
    const canvas = this.canvases[side];
    place(canvas, this.box(side));
    const from = [state.column, state.row, area.columns, area.rows];
    const key = [...from, area.scale].join();
    if (canvas.drawn === image && canvas.key === key) return; // a move of the line redraws nothing
    Object.assign(canvas, { drawn: image, key, width: area.width, height: area.height });
    const context = canvas.getContext("2d", { alpha: false });
    context.imageSmoothingEnabled = area.scale < 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(image.bitmap, ...from, 0, 0, area.width, area.height);
  }

  difference() {
    const { left, gain, signed } = this.state;
    const [x, y] = [this.images[left], this.images[this.base]];
    const { map } = this;
    if (map && map.x === x && map.y === y && map.gain === gain && map.signed === signed) return map;
    return (this.map = { x, y, gain, signed, bitmap: differenceMap(pixelsOf(x), pixelsOf(y), gain, signed) });
  }

  paintLine() {
    const { state, handle, area, ratio } = this;
    const { left, top, width, height } = this.box("left");
    const vertical = state.line === "vertical";
    const at = Math.round(state.position * (vertical ? area.width : area.height)) / ratio;
    const cut = vertical ? `inset(0 ${width - at}px 0 0)` : `inset(0 0 ${height - at}px 0)`;
    this.canvases.left.style.clipPath = state.mode === "split" ? cut : "";
    handle.style.transform = vertical ? `translateX(${left + at}px)` : `translateY(${top + at}px)`;
    handle.setAttribute("aria-valuenow", Math.round(100 * state.position));
    handle.setAttribute("aria-orientation", vertical ? "horizontal" : "vertical");
  }

  paintTools() {
    const { state, config, picks, root } = this;
    const { mode, gain, signed } = state;
    const [left, right, base] = [state.left, state.right, this.base].map((index) => config.names[index]);
    const on = { [mode]: true, h: state.histogram, "?": state.help };
    for (const button of root.querySelectorAll("[aria-pressed]")) {
      button.setAttribute("aria-pressed", on[button.dataset.mode || button.dataset.key] || false);
    }
    for (const side of ["left", "right"]) {
      picks[side].selectedIndex = state[side];
      this.canvases[side].setAttribute("aria-label", `${config.names[state[side]]}. ${config.caption}`);
    }
    this.percent.textContent = `${Math.round((100 * this.area.scale) / this.ratio)}%`;
    this.leaves.children[1].textContent = `${state.page + 1} / ${config.pages.length}`;
    const [power, check] = this.gain.querySelectorAll("input");
    power.value = Math.log2(gain);
    check.checked = signed;
    const minus = signed ? `128 + (${left} − ${base}) × ${gain} / 2` : `|${left} − ${base}| × ${gain}`;
    this.tag.textContent = { flicker: state.shown === "left" ? left : right, difference: minus }[mode] || "";
    this.stage.setAttribute("aria-label", `${mode}: ${left} and ${right}. Press ? for the keys.`);
  }

  paintMark() { // the marked pixel, and its values in every image
    const { mark, area, state, ratio } = this;
    this.heads.at(-1).textContent = mark ? `Pixel in row ${mark.row}, column ${mark.column}` : "Pixel: point at it";
    this.rows.forEach((cells, i) => {
      const at = mark && 4 * (mark.row * this.size.width + mark.column);
      cells.at(-1).textContent = mark ? pixelsOf(this.images[i]).data.slice(at, at + 3).join(" ") : "";
    });
    const [row, column] = mark ? [mark.row - state.row, mark.column - state.column] : [-1, -1];
    const outside = Math.min(row, column) < 0 || row >= area.rows || column >= area.columns;
    const pixel = area.scale / ratio;
    for (const side of ["left", "right"]) {
      const { left, top } = this.box(side);
      this.marks[side].hidden = outside;
      place(this.marks[side], { left: left + column * pixel, top: top + row * pixel, width: pixel, height: pixel });
    }
  }

  measureSoon() { // once the view rests
    const { row, column, histogram, left, right } = this.state;
    const area = { ...this.area, row, column };
    const key = JSON.stringify([area, histogram, left, right]);
    if (this.images.measured === key) return;
    this.images.measured = key;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.measure(area), 120);
  }

  measure(area) {
    const { images, config, state } = this;
    this.rows.forEach((cells, i) => {
      if (config.reference < 0) return;
      cells[1].textContent = config.whole[state.page][i];
      const [x, y] = [i, config.reference].map((index) => pixelsOf(images[index]));
      cells[2].textContent = i === config.reference ? "" : psnr(x, y, area);
    });
    if (state.histogram) this.drawChart(area);
  }

  drawChart(area) {
    const [canvas, caption] = this.chart.children;
    const { left, right } = this.state;
    const of = (i) => [0, 1, 2].map((channel) => histogram(pixelsOf(this.images[i]), area, channel));
    const [filled, lined] = [of(left), of(right)];
    const means = ["red", "green", "blue"].map((name, i) => `${name} ${filled[i].mean} and ${lined[i].mean}`);
    const { names } = this.config;
    caption.textContent = `In view: ${names[left]} filled, ${names[right]} a line. Means: ${means.join(", ")}.`;
    Object.assign(canvas, { width: 1024, height: 480 });
    const context = canvas.getContext("2d");
    context.fillStyle = context.strokeStyle = getComputedStyle(canvas).color;
    context.lineWidth = 2;
    context.font = "24px sans-serif";
    filled.forEach(({ counts }, i) => {
      const highest = Math.max(...counts, ...lined[i].counts);
      const y = (count) => 160 * (i + 1) - 8 - (140 * count) / highest;
      context.globalAlpha = 0.35;
      counts.forEach((count, level) => context.fillRect(4 * level, y(count), 4, y(0) - y(count)));
      context.globalAlpha = 1;
      context.fillText("RGB"[i], 4, 160 * i + 24);
      context.beginPath();
      lined[i].counts.forEach((count, level) => context.lineTo(4 * level + 2, y(count)));
      context.stroke();
    });
  }

  // -- Actions

  enlarge(zoom, place = {}) { // the pixel at `place`, or at the centre, stays where it is
    const { area, ratio } = this;
    const { x, y, row, column } = { x: area.pane / ratio / 2, y: this.tall / ratio / 2, ...this.centre, ...place };
    this.set({ zoom });
    const { scale, left, top } = this.area;
    this.set({ row: row - (y * ratio - top) / scale, column: column - (x * ratio - left) / scale });
  }

  step(direction, place) {
    const { scale, fit } = this.area;
    const scales = [...SCALES, fit].sort((a, b) => direction * (a - b));
    const next = scales.find((other) => direction * (other - scale) > 1e-6);
    if (next >= Math.min(fit, 1)) this.enlarge(next / this.ratio, place);
  }

  arrow(right, down, event) {
    const far = event.shiftKey ? 8 : 1;
    const { state, area } = this;
    if (state.mode === "split" && (event.target === this.handle || !this.canPan)) {
      return this.set({ position: state.position + 0.0125 * far * (right || down) });
    }
    const pixels = far * Math.max(1, Math.round(8 / area.scale));
    this.set({ row: state.row + down * pixels, column: state.column + right * pixels });
  }

  show(shown) {
    this.set({ mode: "flicker", shown });
  }

  flip() {
    this.show(this.state.mode === "flicker" && this.state.shown === "left" ? "right" : "left");
  }

  leaf(pages) {
    this.set({ page: clamp(this.state.page + pages, 0, this.config.pages.length - 1) });
  }

  moveMark(right, down) {
    const { row, column } = this.mark || this.centre;
    const { width, height } = this.size;
    this.point({ row: clamp(row + down, 0, height - 1), column: clamp(column + right, 0, width - 1) });
  }

  point(place) {
    const { width, height } = this.size;
    const [row, column] = place ? [Math.floor(place.row), Math.floor(place.column)] : [-1, -1];
    this.mark = Math.min(row, column) >= 0 && row < height && column < width ? { row, column } : null;
    this.frame ??= requestAnimationFrame(() => this.paint());
  }

  // -- Keys, wheel, pointers

  key(event) {
    const runs = event.key === "Enter" && event.shiftKey; // the cell
    if (runs || event.ctrlKey || event.metaKey || event.altKey || ["Tab", "Escape"].includes(event.key)) return;
    event.stopPropagation(); // the notebook must not act on it
    const native = event.target.matches("select, input") || (event.target.matches("button") && event.key === " ");
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (native || !action) return;
    event.preventDefault();
    action(this, event);
  }

  roll(event) {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    this.wheel += event.deltaY;
    if (Math.abs(this.wheel) < 30) return; // a touchpad pinches in small parts
    this.step(-Math.sign(this.wheel), this.locate(event));
    this.wheel = 0;
  }

  locate(event) { // where a pointer is: in CSS pixels of its pane, in image pixels, and as shares of the canvas
    const { state, area, ratio } = this;
    const box = this.stage.getBoundingClientRect();
    const width = area.pane / ratio + GAP;
    const right = state.mode === "side" && event.clientX >= box.left + width;
    const [x, y] = [event.clientX - box.left - (right ? width : 0), event.clientY - box.top];
    const [across, down] = [(x * ratio - area.left) / area.width, (y * ratio - area.top) / area.height];
    return { x, y, across, down, row: state.row + down * area.rows, column: state.column + across * area.columns };
  }

  press(event) {
    if (event.button) return;
    const { state, area, stage } = this;
    const place = this.locate(event);
    stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    const { width, height } = this.box("left");
    const [share, length] = state.line === "vertical" ? [place.across, width] : [place.down, height];
    const near = Math.abs(share - state.position) * length < (event.pointerType === "touch" ? 28 : 12);
    const onLine = state.mode === "split" && (near || !this.canPan);
    this.drag = { ...state, onLine, place, zoom: area.scale / this.ratio, spread: this.spread(), still: true };
    (onLine ? this.handle : stage).focus({ preventScroll: true });
    event.preventDefault();
    if (onLine) this.follow(place);
  }

  move(event) {
    const place = this.locate(event);
    this.point(place);
    if (!this.pointers.has(event.pointerId)) return;
    this.pointers.set(event.pointerId, event);
    const { drag } = this;
    drag.still = drag.still && place.x === drag.place.x && place.y === drag.place.y;
    if (this.pointers.size > 1) {
      this.enlarge(clamp((drag.zoom * this.spread()) / drag.spread, 1 / 16, 64), drag.place);
    } else if (drag.onLine) {
      this.follow(place);
    } else {
      const [right, down] = [place.x - drag.place.x, place.y - drag.place.y].map((moved) => moved / drag.zoom);
      this.set({ row: drag.row - down, column: drag.column - right });
    }
  }

  follow(place) {
    this.set({ position: this.state.line === "vertical" ? place.across : place.down });
  }

  spread() { // between two fingers
    const [a, b] = this.pointers.values();
    return b ? Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) : 1;
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    for (const finger of this.pointers.values()) this.press(finger); // one of two drags on
    if (event.type === "pointerup" && this.drag?.still && this.state.mode === "flicker") this.flip();
  }
}
