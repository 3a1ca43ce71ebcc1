// What if prices change. The functions of formulas.js compute, those of the first
// part here print as package table does, and the rest shows it.

// roundHalfEven writes v, below 1e21, with so many decimals as strconv does: an exact
// tie goes to the even digit, where toFixed goes up.
function roundHalfEven(v, decimals) {
  const s = v.toFixed(decimals);
  const exact = v.toFixed(Math.min(100, decimals + 60)), rest = exact.slice(s.includes('.') ? s.length : s.length + 1);
  if (!/^50*$/.test(rest)) return s;
  const cut = exact.slice(0, s.length).replace(/\.$/, '');
  return cut.length === s.length && '02468'.includes(cut.at(-1)) ? cut : s;
}
function magnitude(x) {
  const m = Math.floor(Math.log10(x));
  return Number('1e' + (m + 1)) <= x ? m + 1 : Number('1e' + m) > x ? m - 1 : m;
}
function digitsOf(v, decimals) {
  return roundHalfEven(v / Number('1e' + Math.max(0, -decimals)), Math.min(100, Math.max(0, decimals)));
}
function typeset(number) {
  let [t, exponent] = number.replace(/^-/, '').split('e');
  const [whole, part] = t.split('.');
  t = whole.replace(/\B(?=(\d{3})+$)/g, ',') + (part === undefined ? '' : '.' + part);
  if (number.startsWith('-') && /[1-9]/.test(t)) t = '−' + t;
  return Number(exponent) ? t + '×10' + [...String(Number(exponent))].map(c => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(c)]).join('') : t;
}
function fixedPoint(v, decimals, exp) {
  let n = digitsOf(v, decimals).replace('.', '').replace(/^[-0]+/, '');
  const behind = decimals + exp;
  if (behind > 0) {
    n = n.padStart(behind + 1, '0');
    n = n.slice(0, -behind) + '.' + n.slice(-behind);
  } else n = n === '' ? '0' : n + '0'.repeat(-behind);
  return typeset((v < 0 ? '-' : '') + n);
}
// printFigure prints a figure for two places: its value and its interval. unit is
// {name, symbol, most, si}: numbers up to most have no k, M or bn; with si the symbol has
// a prefix instead.
function printFigure(unit, f, measured) {
  const v = f.Value, low = f.Low, high = f.High;
  if (Number.isNaN(v)) return ['–', ''];
  const dollar = unit.name === '$', money = unit.name.startsWith('$'), figures = money ? 3 : 4;
  let half = (high - low) / 2, size = Math.abs(v), reach = 0;
  const least = Math.min(Math.abs(low), Math.abs(high)), most = Math.max(Math.abs(low), Math.abs(high));
  const apart = 2 * half > size && low * high > 0;
  if (2 * half > size && !apart) size = Math.max(size, most);
  if (apart) reach = most;
  let decimals = 0;
  if (size !== 0) {
    const h = apart ? Math.min(size, least) : half;
    const m = magnitude(size * (1 + Number('1e-' + figures) / 2));
    decimals = h > 0 ? Math.min(Math.max(-magnitude(h), 1 - m), (money ? 3 : 5) - m) : figures - 1 - m;
  }
  let exp = 0, powers = false;
  if (size !== 0) {
    const rounded = Number(digitsOf(size, decimals)) * Number('1e' + Math.max(0, -decimals));
    if (unit.si) {
      while (exp < 18 && rounded / Number('1e' + exp) >= 1000) exp += 3;
      while (exp > -12 && rounded / Number('1e' + exp) < 1) exp -= 3;
    } else if (Math.max(rounded, reach) <= unit.most) powers = size < 1e-3;
    else {
      while (exp < 9 && rounded / Number('1e' + exp) >= 1000) exp += 3;
      if (size / Number('1e' + exp) >= 1e6 || reach / Number('1e' + exp) >= 1e6) [exp, powers] = [0, true];
    }
  } else decimals = 0;
  const print = x => {
    let t = powers ? typeset(x.toExponential(figures - 1)) : fixedPoint(x, decimals, exp);
    if (dollar) t = t.startsWith('−') ? '−$' + t.slice(1) : '$' + t;
    if (!unit.si && /[1-9]/.test(t)) t += {3: ' k', 6: ' M', 9: ' bn'}[exp] ?? '';
    return t;
  };
  const value = (measured ? '' : '~') + print(v) + (dollar ? '' : ' ' + (unit.si ? {'-12': 'p', '-9': 'n', '-6': 'µ', '-3': 'm', 0: '', 3: 'k', 6: 'M', 9: 'G', 12: 'T', 15: 'P', 18: 'E'}[exp] : '') + unit.symbol);
  if (Number.isNaN(low) || money && print(low) === print(high)) return [value, ''];
  return [value, Number.isNaN(high) ? `[${print(low)}, ∞)` : `[${print(low)}, ${print(high)}]`];
}

const known = v => v === null ? NaN : v;
const finite = v => Number.isFinite(v) ? v : NaN;

// termsAt are the terms of a row with some prices, by index and in their units, changed.
function termsAt(data, row, changed) {
  const {terms, from} = data.bases[row.base], t = terms.map(known);
  for (const [term, v] of Object.entries(row.own ?? {})) t[term] = known(v);
  for (const [term, price] of Object.entries(from)) if (changed.has(price)) t[term] = changed.get(price) * data.prices[price].factor;
  return t;
}
// inColumn is a column of a row: one without a unit has that in which the row is sold.
function inColumn(data, row, column) {
  const c = data.columns[column];
  const {sale} = data.bases[row.base];
  return c.unit === '' ? {...sale, spans: c.spans && (column !== 'break-even' || sale.spans)} : c;
}
const measured = ([Value, Low, High, Instrument]) => ({Value: known(Value), Low: known(Low), High: known(High), Instrument: known(Instrument)});
// figureAt is the figure of a row in a column, in the unit of the column.
function figureAt(data, row, t, column) {
  const c = inColumn(data, row, column), x = known(row.metric[0]);
  let m;
  if (row.parts) m = quadrature(v => coRunOf(column, row.kind, t, v), row.parts.map(measured));
  else if (c.spans) m = spanning(measured(row.metric), x => columnOf(column, row.kind, t, x));
  else m = {Value: columnOf(column, row.kind, t, x), Low: NaN, High: NaN};
  const out = {Value: finite(m.Value / c.factor), Low: finite(m.Low / c.factor), High: finite(m.High / c.factor)};
  const left = Number.isNaN(out.Value) || leftOut(column, row.kind, t, x, m.Value, known(c.low), known(c.high));
  // A cost beyond any price is left out, and still above the price; what sells nothing has no verdict.
  const verdict = verdictIn(column, t, c.factor, out.Value, out.Low, out.High, data.bases[row.base].counts && !(left && column === 'margin'), data.bases[row.base].gains);
  return {...left ? {Value: NaN, Low: NaN, High: NaN} : out, verdict};
}
// quoted prints a price as its sheet has it.
function quoted(v, unit) {
  const a = Math.abs(v);
  const t = a === 0 ? '0' : a < 1e-4 || a >= 1e15 ? typeset(Number(v.toPrecision(15)).toExponential()) : fixedPoint(v, 14 - magnitude(a), 0);
  return ((t.includes('.') ? t.replace(/\.?0+$/, '') : t) + ' ' + unit.symbol).trim();
}
const numbered = v => String(v).replace('.', '-'); // in IDs
const idsOf = (data, row) => row.ids ?? data.bases[row.base].tables.map(t => `economics/${t}/${row.at}/*`);
const tornadoOf = (row, name) => `economics/${Mines(row.kind) ? 'mining' : 'training'}-tornado/${row.at}-${name.replace('.', '-')}`;
// swingsOf are what the tornado of a row moves: what it is in IDs, the ends in SI units,
// and the margin at a value of it.
function swingsOf(data, row, changed) {
  const base = data.bases[row.base], t = termsAt(data, row, changed), m = measured(row.metric), ends = follow(m, x => x);
  const margin = (t, x) => columnOf('margin', row.kind, t, x);
  return [{id: tornadoOf(row, base.moved), ends, at: v => margin(t, v)}, ...base.swings.map(i => {
    const p = data.prices[i], si = v => v * p.factor, [low, high] = (p.range ?? [NaN, NaN]).map(si);
    const at = v => margin(t.map((x, term) => base.from[term] === i ? v : x), m.Value);
    return {id: tornadoOf(row, p.key), price: p, ends: rangeOf(si(changed.get(i) ?? p.value), low, high, si(p.min), si(p.max)), at};
  })];
}
// evaluateAll is every figure of the page's model by its ID, of tornados those whose
// IDs begin with what is wanted: its numbers and how they are printed; the verdicts, by the ID of the figure on
// which they rest; and the answers by their names, without those that rest on a figure
// which does not follow.
function evaluateAll(data, changed, wanted = () => true) {
  const figures = new Map(), verdicts = new Map(), answers = new Map();
  // set notes a figure, v in SI units or what else figureAt has.
  const set = (id, unit, factor, v, measured) => {
    const f = typeof v === 'number' ? {Value: finite(v / factor), Low: NaN, High: NaN} : v;
    figures.set(id, {...f, text: printFigure(data.units[unit], f, measured)});
  };
  const terms = data.rows.map(row => termsAt(data, row, changed)), {columns} = data;
  data.rows.forEach((row, i) => {
    for (const id of idsOf(data, row)) {
      for (const column of data.tables[id.split('/')[1]]) {
        const c = inColumn(data, row, column), f = figureAt(data, row, terms[i], column), of = id.replace('*', column.slice(column.lastIndexOf('/') + 1));
        set(of, c.unit, c.factor, f, data.bases[row.base].measured || c.price === true);
        if (f.verdict) verdicts.set(of, f.verdict);
      }
    }
    if (!row.swung || !wanted(tornadoOf(row, ''))) return;
    for (const {id, price, ends, at} of swingsOf(data, row, changed)) {
      for (const [end, v, of] of [['low', ends.Low, 'from'], ['high', ends.High, 'to']]) {
        set(`${id}/${end}`, columns.margin.unit, columns.margin.factor, at(v), data.bases[row.base].measured);
        if (price) figures.set(`${id}/${of}`, {Value: v / price.factor, Low: NaN, High: NaN, text: [quoted(v / price.factor, data.units[price.unit === '1' ? '' : price.unit]), '']});
      }
    }
  });
  for (const p of data.pairs) {
    const row = data.rows[p.row], against = data.rows[p.against], c = data.bases[row.base].sale, x = known(row.metric[0]);
    for (const times of data.times) {
      const v = crossoverOf(row.kind, terms[p.row], x, against.kind, terms[p.against], known(against.metric[0]), times);
      set(p.id.replace('*', numbered(times)), c.unit, c.factor, leftOut('break-even', row.kind, terms[p.row], x, v, known(c.low), known(c.high)) ? NaN : v, p.measured);
    }
  }
  if (data.grid >= 0) {
    const t = termsAt(data, {base: data.grid}, changed), c = columns['hashprice/now'];
    for (const times of data.times) {
      const id = `economics/break-even/${numbered(times)}/`;
      set(id + 'hashprice', c.unit, c.factor, hashpriceOf(t) * times, true);
      for (const power of data.powers) set(id + numbered(power), 'J/TH', 1e-12, efficiencyOf(t, times, power / 3.6e9), true);
    }
  }
  const answering = {hashprice: soldAtALoss, squeeze: squeezedFirst, grow: growOrConvert, mullet: mulletOrNot, earns: o => EarnsMost(o, data.caveat)};
  for (const [name, options] of Object.entries(data.answers)) {
    const of = id => figures.get(id) ?? (data.still[id] ? {Value: known(data.still[id].Value), Low: known(data.still[id].Low), High: known(data.still[id].High), text: data.texts[id]} : {Value: NaN, Low: NaN, High: NaN});
    if (options.some(o => o.Figures.some(id => data.still[id]?.on?.some(i => changed.has(i))))) continue;
    const filled = options.map(o => ({Why: '', ...o, Values: o.Figures.map(id => of(id).Value), Low: of(o.Figures[0]).Low, High: of(o.Figures[0]).High, Verdict: verdicts.get(o.Figures[0]) ?? o.Verdict ?? 'none'}));
    answers.set(name, answering[name](filled).map(p => p.Text + (p.Figure ? of(p.Figure).text[0] + (p.Interval && of(p.Figure).text[1] ? ' ' + of(p.Figure).text[1] : '') : '')).join(''));
  }
  return {figures, verdicts, answers};
}
// rangeFor is a range of an axis for values, with room around them or from 0, and the
// values of its ticks, about so many.
function rangeFor(values, zero, most) {
  let low = Math.min(...values), high = Math.max(...values);
  if (!(low <= high)) [low, high] = [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  [low, high] = [zero && low >= 0 ? 0 : low - room, high + room];
  const raw = (high - low) / Math.max(most, 1), p = Number('1e' + Math.floor(Math.log10(raw))), step = [1, 2, 5, 10].map(m => m * p).find(s => s >= raw * (1 - 1e-9));
  const first = Math.ceil(low / step);
  return [low, high, Array.from({length: Math.floor(high / step) - first + 1}, (_, i) => (first + i) * step)];
}
function tickText(v) {
  const exp = Math.abs(v) >= 1e5 ? Math.min(9, 3 * Math.floor(Math.log10(Math.abs(v)) / 3)) : 0;
  return typeset(String(Number((v / Number('1e' + exp)).toPrecision(6)))) + ({3: ' k', 6: ' M', 9: ' bn'}[exp] ?? '');
}
// changesIn reads the changed prices from a fragment, #what=power_price:62.5,… with or
// without another part before &. What is not a price of the page, not a plain number
// or not allowed there is left out or clipped.
function changesIn(data, fragment) {
  const changed = new Map(), what = fragment.slice(0, 4000).split('&').map(p => p.replace(/^#/, '')).find(p => p.startsWith('what='));
  for (const piece of (what ?? 'what=').slice(5).split(',').slice(0, 64)) {
    let text = '';
    try { text = decodeURIComponent(piece); } catch { continue; }
    const [, key, number] = /^([^:]+):([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)$/.exec(text) ?? [];
    const i = data.prices.findIndex(p => p.key === key);
    if (i < 0 || number.length > 40) continue;
    const v = Math.min(Math.max(Number(number), data.prices[i].min), data.prices[i].max);
    if (v !== data.prices[i].value) changed.set(i, v);
  }
  return changed;
}
// fragmentOf is the fragment with other changes; its other part stays.
function fragmentOf(data, changed, fragment) {
  const parts = fragment.replace(/^#/, '').split('&').filter(p => p && !p.startsWith('what='));
  const what = [...changed].sort((a, b) => a[0] - b[0]).map(([i, v]) => encodeURIComponent(data.prices[i].key) + ':' + v);
  if (what.length) parts.push('what=' + what.join(','));
  return parts.length ? '#' + parts.join('&') : '';
}

(() => {
  const store = document.getElementById('what-if-data');
  if (!store) return;
  const data = JSON.parse(store.textContent), controls = document.getElementById('what-if-controls'), says = document.getElementById('what-if-says');
  const back = document.getElementById('as-priced'), dials = [...controls.querySelectorAll('.dial')];
  controls.hidden = false;
  let changed = new Map(), timer = 0, tried = false;
  const before = new Map(); // elements that show what is not as priced, with what they held

  const chip = words => {
    const mark = document.createElement('span');
    mark.className = 'if';
    mark.textContent = words;
    return mark;
  };
  const keep = el => {
    const link = [...el.children].find(e => e.matches('a.figure')); // of links.js, to where the figure comes from
    if (!before.has(el)) before.set(el, {nodes: [...el.childNodes], sort: el.dataset.sort, under: el.querySelector('small') !== null, link, text: link?.textContent});
    return before.get(el);
  };
  const put = (el, text, under, sort) => {
    const was = keep(el), small = document.createElement('small'), {link} = was;
    small.textContent = under;
    if (link) link.textContent = text;
    el.replaceChildren(link ?? text, ...(under && was.under ? [small] : []), ' ', chip('what if'));
    if (was.sort !== undefined && sort !== undefined) el.dataset.sort = Number.isNaN(sort) ? '' : String(sort);
  };
  const stays = el => { keep(el); el.append(' ', chip('as priced')); };
  const restore = () => {
    for (const [el, {nodes, sort, link, text}] of before) {
      if (link) link.textContent = text;
      el.replaceChildren(...nodes);
      if (sort !== undefined) el.dataset.sort = sort;
    }
    before.clear();
    for (const table of document.querySelectorAll('table[data-still]')) {
      table.parentElement.previousElementSibling.remove();
      delete table.dataset.still;
    }
  };
  const same = (f, was) => f.Value === was.Value && f.text.join() === was.text.join() || Number.isNaN(f.Value) && Number.isNaN(was.Value);
  const tornados = [...document.querySelectorAll('[data-figure*="-tornado/"]')].map(el => el.dataset.figure), wanted = start => tornados.some(id => id.startsWith(start));
  const then = evaluateAll(data, new Map(), wanted);
  let now = then;
  // follow shows each figure, verdict, answer and price at the prices that are tried, or
  // says that it is as priced.
  const follow = () => {
    const depends = id => data.depend[id.split('/')[1]]?.some(i => changed.has(i));
    for (const el of document.querySelectorAll('[data-answer]')) {
      const name = el.dataset.answer, was = then.answers.get(name), is = now.answers.get(name), all = el.textContent;
      if (is === undefined || was === undefined || !all.startsWith(was)) stays(el);
      else if (is !== was) put(el, is + all.slice(was.length), '');
    }
    const still = el => !now.figures.has(el.dataset.figure);
    for (const table of document.querySelectorAll('#economics table')) {
      const all = [...table.querySelectorAll('[data-figure^="economics/"]')];
      if (!all.length || !all.every(still) || !all.some(el => depends(el.dataset.figure))) continue;
      const mark = document.createElement('p'), why = {share: 'it is the network as it was', switching: 'the hours of its series are not in the page', thresholds: 'what many machines would take is not in the page'}[all[0].dataset.figure.split('/')[1]];
      mark.append(chip('as priced'), why ? `: ${why}.` : '');
      table.parentElement.before(mark);
      table.dataset.still = '';
    }
    for (const el of document.querySelectorAll('[data-figure^="economics/"]')) {
      const id = el.dataset.figure, f = now.figures.get(id), was = then.figures.get(id);
      if (el.closest('[data-answer], [data-still]')) continue; // a sentence follows, and a table stays, as a whole
      if (still(el)) depends(id) && stays(el);
      else if (!same(f, was)) put(el, f.text[0], f.text[1], f.Value);
    }
    for (const el of document.querySelectorAll('[data-end]')) { // of what a tornado moves
      const row = el.closest('tr'), of = [row, row.nextElementSibling].map(r => r?.querySelector('[data-figure$="/low"]')).find(f => f);
      const id = of?.dataset.figure.replace(/low$/, el.dataset.end), f = now.figures.get(id);
      if (f && !same(f, then.figures.get(id))) put(el, f.text[0], '', f.Value);
    }
    for (const el of document.querySelectorAll('[data-verdict]')) {
      const v = now.verdicts.get(el.dataset.verdict);
      if (v && v !== then.verdicts.get(el.dataset.verdict)) put(el, v === 'none' ? '–' : v, '');
    }
    for (const el of document.querySelectorAll('[data-price-of]')) {
      const i = data.prices.findIndex(p => p.key === el.dataset.priceOf), p = data.prices[i];
      if (changed.has(i)) put(el, printFigure(data.units[p.unit.replace(/\/node$/, '')], {Value: changed.get(i), Low: NaN, High: NaN}, true)[0], '');
    }
    for (const el of document.querySelectorAll('#price-sheet > details > summary')) stays(el);
    for (const el of document.querySelectorAll('figure')) {
      if ([...drawn.keys()].some(g => el.contains(g))) put(el.querySelector('figcaption'), el.querySelector('figcaption').textContent, '');
    }
  };
  // Of what a candidate sells at a use, that with the highest margin is shown.
  const best = () => {
    for (const cell of document.querySelectorAll('.matrix td')) {
      const all = [...cell.querySelectorAll('.income')], value = el => now.figures.get(el.querySelector('[data-figure]').dataset.figure)?.Value ?? NaN;
      const most = Math.max(...all.map(value).filter(v => !Number.isNaN(v)));
      const shown = all.find(el => value(el) === most);
      for (const el of all) {
        el.hidden = el !== shown;
        for (const of of el.querySelectorAll('.of')) of.hidden = Number.isNaN(now.figures.get(of.querySelector('[data-figure]').dataset.figure)?.Value ?? NaN);
      }
    }
  };
  // Charts are drawn anew, on axes that fit. Of what is changed in a drawing, drawn has
  // what it held.
  const power = data.prices.findIndex(p => p.key === 'power_price'), drawn = new Map();
  const moves = id => now.figures.has(id) && !same(now.figures.get(id), then.figures.get(id));
  const within = (v, a, b) => Math.min(Math.max(v, Math.min(a, b)), Math.max(a, b));
  const numbers = text => text.split(' ').map(Number);
  const change = g => {
    if (!drawn.has(g)) drawn.set(g, g.innerHTML);
    return g;
  };
  const parts = (svg, what) => [...svg.querySelectorAll(`g[data-${what}]`)].map(change);
  // rescale fits an axis to values and returns where they lie.
  const rescale = (svg, axis, values) => {
    const [from, to, least] = numbers(svg.dataset[axis]), [low, high, steps] = rangeFor(values.filter(Number.isFinite), least === 0, Math.abs(to - from) / (axis === 'x' ? 80 : 50));
    const at = v => from + (v - low) / (high - low) * (to - from), other = axis === 'x' ? 'y' : 'x';
    for (const g of svg.querySelectorAll(`g[data-axis="${axis}"]`)) {
      change(g);
      for (const path of g.querySelectorAll('path')) {
        const across = new Set([...path.getAttribute('d').matchAll(/M(\S+) (\S+?)L(\S+) ([^M]+)/g)].map(m => axis === 'x' ? m[2] + ' ' + m[4] : m[1] + ' ' + m[3]));
        path.setAttribute('d', steps.flatMap(v => [...across].map(pair => {
          const [a, b] = pair.split(' '), p = at(v).toFixed(1);
          return axis === 'x' ? `M${p} ${a}L${p} ${b}` : `M${a} ${p}L${b} ${p}`;
        })).join(''));
      }
      const texts = [...g.querySelectorAll('text')], size = Number(svg.getAttribute('font-size'));
      for (const [i, v] of (texts.length ? steps : []).entries()) {
        const text = texts[0].cloneNode();
        text.setAttribute(axis, (at(v) + (axis === 'y' ? size * 0.34 : 0)).toFixed(1));
        text.textContent = tickText(v);
        g.append(text);
      }
      for (const text of texts) text.remove();
    }
    return at;
  };
  const line = points => points.map(([x, y], i) => Number.isFinite(y) ? `${i && Number.isFinite(points[i - 1][1]) ? 'L' : 'M'}${x.toFixed(2)},${y.toFixed(2)}` : '').join('');
  const drawLines = svg => {
    const [x0, x1, least, most] = numbers(svg.dataset.x), atX = v => x0 + (v - least) / (most - least) * (x1 - x0);
    const pointsOf = id => {
      if (!id.startsWith('row-')) return data.times.map(times => [times, now.figures.get(id.replace('*', numbered(times)))?.Value ?? NaN]);
      const row = data.rows[Number(id.slice(4))], at = v => figureAt(data, row, termsAt(data, row, new Map([...changed, [power, v]])), 'margin').Value;
      return Array.from({length: 51}, (_, i) => least + (most - least) * i / 50).map(v => [v, at(v)]);
    };
    const ids = [...svg.querySelectorAll('[data-series]')].flatMap(g => g.dataset.series.split(' '));
    if (!ids.some(id => id.startsWith('row-') || data.times.some(times => moves(id.replace('*', numbered(times)))))) return;
    const series = parts(svg, 'series').map(g => [g, g.dataset.series.split(' ').map(pointsOf)]);
    const atY = rescale(svg, 'y', series.flatMap(([, of]) => of.flatMap(points => points.map(p => p[1]))));
    for (const [g, of] of series) g.querySelector('path').setAttribute('d', of.map(points => line(points.map(([x, y]) => [atX(x), atY(y)]))).filter((d, i, all) => all.indexOf(d) === i).join(''));
    for (const g of parts(svg, 'level="power-price"')) {
      const move = changed.has(power) ? atX(within(changed.get(power), least, most)) - atX(data.prices[power].value) : 0;
      if (move) g.querySelector('path').setAttribute('transform', `translate(${move.toFixed(2)} 0)`);
    }
  };
  const drawTornado = svg => {
    const id = svg.querySelector('[data-base]').dataset.base, base = now.figures.get(id);
    if (!base || !moves(id)) return;
    const [middle] = parts(svg, 'base');
    const bars = parts(svg, 'bar').map(g => [g, ['low', 'high'].map(end => now.figures.get(`${g.dataset.bar}/${end}`) ?? {Value: NaN, text: ['–']})]);
    const at = rescale(svg, 'x', [base.Value, ...bars.flatMap(([, ends]) => ends.map(f => f.Value))]), x = at(base.Value);
    for (const [g, ends] of bars) {
      for (const [i, path] of [...g.querySelectorAll('path')].entries()) {
        const ys = path.getAttribute('d').match(/[\d.]+/g), to = Number.isFinite(ends[i].Value) ? at(ends[i].Value) : x;
        path.setAttribute('d', `M${x.toFixed(1)} ${ys[1]}H${to.toFixed(1)}V${ys[5]}H${x.toFixed(1)}Z`);
      }
      const title = g.querySelector('title');
      title.textContent = title.textContent.replace(/: .*$/, `: ${ends[0].text[0]} to ${ends[1].text[0]}`);
    }
    for (const path of middle.querySelectorAll('path')) path.setAttribute('d', path.getAttribute('d').replace(/([ML])\S+ /g, `$1${x.toFixed(1)} `));
    const [text, ...more] = middle.querySelectorAll('text'), words = `what if: ${base.text[0]}`;
    const width = svg.viewBox.baseVal.width, half = words.length * Number(svg.getAttribute('font-size')) * 0.34;
    text.textContent = words;
    text.setAttribute('x', within(x, half, width - half).toFixed(1));
    for (const t of more) t.remove();
  };
  // Cells are shaded as package chart does it.
  const drawCells = svg => {
    const [left, top, w, h, rows, columns] = numbers(svg.dataset.cells), base = Number(svg.dataset.base), size = Number(svg.getAttribute('font-size')), cells = [];
    let moved = false;
    for (const [r, times] of data.times.slice(0, rows).entries()) for (const [c, price] of data.powers.slice(0, columns).entries()) {
      const id = `economics/break-even/${numbered(times)}/${numbered(price)}`;
      cells.push({r, c, f: now.figures.get(id) ?? {Value: NaN, text: ['–']}});
      moved ||= moves(id);
    }
    if (!moved) return;
    const [g] = parts(svg, 'axis="cells"');
    const most = Math.max(0, ...cells.map(({f}) => Math.abs(f.Value - base)).filter(Number.isFinite));
    const add = (name, attributes, text = '') => {
      const el = g.appendChild(document.createElementNS(svg.namespaceURI, name));
      for (const [key, v] of Object.entries(attributes)) el.setAttribute(key, v);
      el.textContent = text;
    };
    g.replaceChildren();
    for (const {r, c, f} of cells) {
      const x = left + w * c, y = top + h * r, better = f.Value >= base, up = better ? 1 : -1, middle = y + h / 2;
      if (Number.isFinite(f.Value)) {
        add('path', {class: `f-${better ? 'up' : 'dn'}${1 + (most && Math.min(Math.floor(Math.abs(f.Value - base) / most * 3), 2))}`, d: `M${x + 1} ${y + 1}h${w - 2}v${h - 2}h${2 - w}Z`});
        add('path', {class: better ? 'f-a' : 'f-b', d: `M${x + Math.min(11, 4 + w / 12)} ${middle - 4.5 * up}l5 ${8.5 * up}h-10Z`});
      }
      add('text', {class: 'f-ink end', x: x + w - 5, y: middle + size * 0.34}, f.text[0].split(' ')[0]);
    }
  };
  const draw = () => {
    for (const [g, html] of drawn) g.innerHTML = html;
    drawn.clear();
    if (!changed.size) return;
    for (const svg of document.querySelectorAll('#what-if svg, #economics svg')) {
      const how = svg.querySelector('[data-series]') ? drawLines : svg.querySelector('[data-bar]') ? drawTornado : svg.dataset.cells ? drawCells : null;
      if (!how) continue;
      const before = drawn.size;
      how(svg);
      if (drawn.size === before) continue;
      const desc = change(svg.querySelector('desc'));
      desc.textContent = `As priced: ${desc.textContent}`;
    }
  };
  const show = () => {
    restore();
    document.documentElement.classList.toggle('tried', changed.size > 0);
    back.disabled = changed.size === 0;
    for (const d of dials) {
      const i = Number(d.dataset.price), v = changed.get(i) ?? data.prices[i].value;
      for (const input of d.querySelectorAll('input')) if (Number(input.value) !== v) input.value = v;
      d.classList.toggle('tried', changed.has(i));
      d.querySelector('.if').hidden = !changed.has(i);
    }
    now = changed.size ? evaluateAll(data, changed, wanted) : then;
    draw();
    if (changed.size) follow();
    if (changed.size || tried) best();
    tried = changed.size > 0;
    tell();
    clearTimeout(timer);
    timer = setTimeout(() => { says.textContent = sentence(); }, changed.size ? 300 : 0);
  };
  // The panel of a figure explains the figure that is shown.
  const tell = () => {
    const panel = document.querySelector('dialog.explain[open]'), id = panel?.dataset.of;
    if (!panel) return;
    for (const el of panel.querySelectorAll('.tried')) el.remove();
    for (const [dd, text] of told) dd.textContent = text;
    told.clear();
    panel.querySelector('.shown').textContent = document.querySelector(`main [data-figure="${CSS.escape(id)}"]`).innerText.replace(/\s+/g, ' ');
    if (!changed.size || !id.startsWith('economics/')) return;
    const f = now.figures.get(id), note = document.createElement('p');
    note.className = 'tried';
    for (const row of f ? panel.querySelectorAll('dl > div') : []) {
      const i = data.prices.findIndex(p => p.key === row.firstChild.textContent), dd = row.lastChild;
      if (!changed.has(i)) continue;
      told.set(dd, dd.textContent);
      dd.textContent = `${changed.get(i)} ${data.prices[i].unit}, what if; as priced ${dd.textContent}`;
    }
    note.append(chip(f ? 'what if' : 'as priced'), ' ', f ? `${f.text.join(' ').trim()}; as priced ${then.figures.get(id).text.join(' ').trim()}, which perwatt explain prints. ` : 'This explains the figure as priced: it does not follow. ', tries());
    panel.querySelector('h2').after(note);
  };
  document.addEventListener('explained', tell);
  const told = new Map();
  const tries = () => 'What if: ' + [...changed].map(([i, v]) => `${data.prices[i].key} ${v} ${data.prices[i].unit}, as priced ${data.prices[i].value}`).join('; ') + '.';
  const sentence = () => {
    if (!changed.size) return says.dataset.priced;
    return tries() + ' What follows has the mark “what if”, and what does not the mark “as priced”; the rest does not depend on them.';
  };
  const set = (i, v) => {
    const p = data.prices[i];
    if (!Number.isFinite(v)) return;
    v = Math.min(Math.max(v, p.min), p.max);
    if (v === p.value) changed.delete(i); else changed.set(i, v);
    history.replaceState(null, '', location.pathname + location.search + fragmentOf(data, changed, location.hash));
    show();
  };
  for (const d of dials) {
    const i = Number(d.dataset.price);
    const [range, number] = d.querySelectorAll('input');
    range.addEventListener('input', () => set(i, Number(range.value)));
    number.addEventListener('change', () => { set(i, number.value === '' ? NaN : Number(number.value)); show(); });
  }
  back.addEventListener('click', () => {
    changed = new Map();
    history.replaceState(null, '', location.pathname + location.search + fragmentOf(data, changed, location.hash));
    show();
  });
  const read = () => { changed = changesIn(data, location.hash); show(); };
  addEventListener('hashchange', read);
  if (changesIn(data, location.hash).size) {
    read();
    for (let d = controls.closest('details'); d; d = d.parentElement.closest('details')) d.open = true;
  }
})();
