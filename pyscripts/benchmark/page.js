// What the pages of reports share. Each is one file: this and page.css are put into it.
const byId = function (id) { return document.getElementById(id); };
// An element with attributes and children; whatever is no node becomes text.
function make(tag, attributes) {
  const svg = ['svg', 'path', 'circle', 'line', 'text', 'title'].includes(tag);
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const name in attributes) node.setAttribute(name, attributes[name]);
  node.append.apply(node, Array.prototype.slice.call(arguments, 2));
  return node;
}
const show = function (value, digits) { return value === null || value === undefined ? 'n/a' : value.toFixed(digits === undefined ? 2 : digits); };
const signed = function (value) { return value === null ? 'n/a' : (value > 0 ? '+' : value < 0 ? '\u2212' : '') + Math.abs(value).toFixed(2); };
const minus = function (a, b) { return a === null || b === null || a === undefined || b === undefined ? null : a - b; };

// A table whose heads sort it. head: names; rows: arrays of {value, node}; the values are compared, null last.
function sortable(table, head, rows, sortBy, descending) {
  const state = { column: sortBy, descending: descending };
  function compare(a, b) {
    const x = a[state.column].value, y = b[state.column].value;
    if (x === null || y === null) return (x === null) - (y === null);
    const order = typeof x === 'string' ? x.localeCompare(y) : x - y;
    return state.descending ? -order : order;
  }
  function draw() {
    const heads = head.map(function (name, i) {
      const button = make('button', { type: 'button' }, name);
      button.addEventListener('click', function () {
        state.descending = state.column === i ? !state.descending : i > 0;
        state.column = i;
        draw();
        table.querySelectorAll('th button')[i].focus();
      });
      const order = state.column === i ? (state.descending ? 'descending' : 'ascending') : 'none';
      return make('th', { scope: 'col', 'aria-sort': order }, button);
    });
    const body = make('tbody');
    rows.slice().sort(compare).forEach(function (row) {
      body.append(make.apply(null, ['tr', {}].concat(row.map(function (cell) { return cell.node; }))));
    });
    table.replaceChildren(make('thead', {}, make.apply(null, ['tr', {}].concat(heads))), body);
  }
  draw();
}

function choices(place, names, chosen, choose) {
  const buttons = names.map(function (name, i) {
    const button = make('button', { type: 'button', 'aria-pressed': String(i === chosen) }, name);
    button.addEventListener('click', function () {
      buttons.forEach(function (other, j) { other.setAttribute('aria-pressed', String(i === j)); });
      choose(i);
    });
    return button;
  });
  place.append.apply(place, buttons);
  choose(chosen);
}

function difference(value, most) {
  const half = value === null || !most ? 0 : Math.abs(value) / most * 50;
  const way = value === null || value === 0 ? '' : value > 0 ? 'up' : 'down';
  const inside = make('i', { style: 'width:' + half + '%;left:' + (way === 'down' ? 50 - half : 50) + '%;background:var(--' + (way === 'down' ? 'worse' : 'better') + ')' });
  return make('td', { class: 'delta' }, make('span', { class: way }, signed(value)), make('div', { class: 'track' }, inside));
}

function theme() {
  const root = document.documentElement, system = window.matchMedia('(prefers-color-scheme: dark)');
  const set = function (dark) {
    root.dataset.theme = dark ? 'dark' : 'light';
    byId('theme').textContent = dark ? 'light' : 'dark';
  };
  set(system.matches);
  system.addEventListener('change', function (event) { set(event.matches); });
  byId('theme').addEventListener('click', function () { set(root.dataset.theme !== 'dark'); });
}

// A line chart. lines: {points: [[x, y]], colour, title, dots}; ticks: [[x, label]]; words: about, across, unit, least
// (the smallest step of the scale of y).
function chart(lines, ticks, words) {
  const width = 720, height = 300, left = 52, right = 24, top = 12, bottom = 40;
  const of = function (axis) { return lines.flatMap(function (line) { return line.points.map(function (p) { return p[axis]; }); }); };
  const all = of(1), across = of(0).concat(ticks.map(function (t) { return t[0]; }));
  const least = Math.min.apply(null, all), most = Math.max.apply(null, all);
  let step = Math.pow(10, Math.floor(Math.log10(Math.max(most - least, 1e-6) / 5)));
  step = Math.max(words.least || 0, [1, 2, 5, 10].map(function (s) { return s * step; }).find(function (s) { return (most - least) / s <= 5; }) || step);
  const low = Math.floor(least / step) * step, high = Math.max(low + step, Math.ceil(most / step) * step);
  const first = Math.min.apply(null, across), final = Math.max.apply(null, across.concat(first + 1e-9));
  const x = function (v) { return left + (v - first) * (width - left - right) / (final - first); };
  const y = function (v) { return top + (high - v) * (height - top - bottom) / (high - low); };
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const svg = make('svg', { viewBox: '0 0 ' + width + ' ' + height, width: width, height: height, role: 'img', 'aria-label': words.about });
  for (let i = 0; i <= Math.round((high - low) / step); i++) {
    const v = low + i * step;
    svg.append(make('line', { class: 'grid', x1: left, x2: width - right, y1: y(v), y2: y(v) }),
      make('text', { x: left - 8, y: y(v) + 4, 'text-anchor': 'end' }, v.toFixed(digits) + words.unit));
  }
  ticks.forEach(function (tick) { svg.append(make('text', { x: x(tick[0]), y: height - bottom + 18, 'text-anchor': 'middle' }, tick[1])); });
  svg.append(make('text', { x: (left + width - right) / 2, y: height - 4, 'text-anchor': 'middle' }, words.across));
  lines.forEach(function (line) {
    const places = line.points.map(function (p) { return x(p[0]).toFixed(1) + ' ' + y(p[1]).toFixed(1); });
    svg.append(make('path', { d: places.length ? 'M' + places.join('L') : '', fill: 'none', 'stroke-width': line.dots ? 2 : 1.25, style: 'stroke:' + line.colour },
      make('title', {}, line.title)));
    if (line.dots) line.points.forEach(function (p) {
      svg.append(make('circle', { cx: x(p[0]), cy: y(p[1]), r: 4, style: 'fill:' + line.colour }, make('title', {}, line.title + ': ' + show(p[1]) + words.unit)));
    });
  });
  return svg;
}

function legend(place, names, colour) {
  names.forEach(function (name, i) {
    place.append(make('span', {}, make('span', { class: 'swatch', style: 'background:' + colour(i) }), name));
  });
}

// An image's pictures: image above truth, each prediction above its errors and, where all have it, its confidence.
function pictured(strip, scores, columns, width) {
  const rows = strip.pictures.some(function (each) { return /^confidence/.test(each.label); }) ? 3 : 2;
  const firsts = strip.pictures.length - rows * (columns - 1);
  const style = 'grid-template-rows:repeat(' + rows + ',auto);grid-template-columns:repeat(' + columns + ',minmax(140px,' + width + 'px))';
  const pictures = make('div', { class: 'pictures', style: style });
  strip.pictures.forEach(function (each, i) {
    const alone = i === firsts - 1 && firsts < rows ? { style: 'grid-row:span ' + (rows - firsts + 1) } : {};
    pictures.append(make('figure', alone, make('img', { src: each.src, alt: each.label + ' of ' + strip.name, loading: 'lazy' }), make('figcaption', {}, each.label)));
  });
  return make('div', { class: 'strip' }, make('h3', {}, strip.name, make('span', {}, scores)), pictures);
}
