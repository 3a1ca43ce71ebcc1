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
// {name, symbol, most}: numbers up to most have no k, M or bn.
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
    if (Math.max(rounded, reach) <= unit.most) powers = size < 1e-3;
    else {
      while (exp < 9 && rounded / Number('1e' + exp) >= 1000) exp += 3;
      if (size / Number('1e' + exp) >= 1e6 || reach / Number('1e' + exp) >= 1e6) [exp, powers] = [0, true];
    }
  } else decimals = 0;
  const print = x => {
    let t = powers ? typeset(x.toExponential(figures - 1)) : fixedPoint(x, decimals, exp);
    if (dollar) t = t.startsWith('−') ? '−$' + t.slice(1) : '$' + t;
    if (/[1-9]/.test(t)) t += {3: ' k', 6: ' M', 9: ' bn'}[exp] ?? '';
    return t;
  };
  const value = (measured ? '' : '~') + print(v) + (dollar ? '' : ' ' + unit.symbol);
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
// evaluateAll is every figure of the page's model by its ID: its numbers and how they
// are printed; the verdicts, by the ID of the figure on which they rest; and the answers
// by their names, without those that rest on a figure which does not follow.
function evaluateAll(data, changed) {
  const figures = new Map(), verdicts = new Map(), answers = new Map();
  for (const row of data.rows) {
    const t = termsAt(data, row, changed);
    for (const id of row.ids) {
      for (const column of data.tables[id.split('/')[1]]) {
        const c = inColumn(data, row, column), f = figureAt(data, row, t, column), of = id.replace('*', column.slice(column.lastIndexOf('/') + 1));
        figures.set(of, {...f, text: printFigure(data.units[c.unit], f, data.bases[row.base].measured || c.price === true)});
        if (f.verdict) verdicts.set(of, f.verdict);
      }
    }
  }
  for (const row of data.rows.filter(r => r.crossover)) {
    const against = data.rows[row.against ?? 0], t = termsAt(data, row, changed), c = data.bases[row.base].sale, x = known(row.metric[0]);
    const v = crossoverOf(row.kind, t, x, against.kind, termsAt(data, against, changed), known(against.metric[0]), 1);
    const f = {Value: leftOut('break-even', row.kind, t, x, v, known(c.low), known(c.high)) ? NaN : finite(v / c.factor), Low: NaN, High: NaN};
    figures.set(row.crossover, {...f, text: printFigure(data.units[c.unit], f, row.crossed)});
  }
  const answering = {hashprice: soldAtALoss, squeeze: squeezedFirst, grow: growOrConvert, mullet: mulletOrNot, earns: o => EarnsMost(o, data.caveat)};
  for (const [name, options] of Object.entries(data.answers)) {
    const of = id => figures.get(id) ?? (data.still[id] ? {Value: known(data.still[id].Value), Low: known(data.still[id].Low), High: known(data.still[id].High), text: data.texts[id]} : {Value: NaN, Low: NaN, High: NaN});
    if (options.some(o => o.Figures.some(id => data.still[id]?.on?.some(i => changed.has(i))))) continue;
    const filled = options.map(o => ({...o, Values: o.Figures.map(id => of(id).Value), Low: of(o.Figures[0]).Low, High: of(o.Figures[0]).High, Verdict: verdicts.get(o.Figures[0]) ?? o.Verdict}));
    answers.set(name, answering[name](filled).map(p => p.Text + (p.Figure ? of(p.Figure).text[0] + (p.Interval && of(p.Figure).text[1] ? ' ' + of(p.Figure).text[1] : '') : '')).join(''));
  }
  return {figures, verdicts, answers};
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
  const then = evaluateAll(data, new Map());
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
    const still = el => !now.figures.has(el.dataset.figure) || el.dataset.figure.startsWith('economics/indifference/') && !el.closest('#what-if'); // there it stands under a hashprice
    for (const table of document.querySelectorAll('#economics table')) {
      const all = [...table.querySelectorAll('[data-figure^="economics/"]')];
      if (!all.length || !all.every(still) || !all.some(el => depends(el.dataset.figure))) continue;
      const mark = document.createElement('p');
      mark.append(chip('as priced'));
      table.parentElement.before(mark);
      table.dataset.still = '';
    }
    for (const el of document.querySelectorAll('[data-figure^="economics/"]')) {
      const id = el.dataset.figure, f = now.figures.get(id), was = then.figures.get(id);
      if (el.closest('[data-answer], [data-still]')) continue; // a sentence follows, and a table stays, as a whole
      if (still(el)) depends(id) && stays(el);
      else if (!same(f, was)) put(el, f.text[0], f.text[1], f.Value);
    }
    for (const el of document.querySelectorAll('[data-verdict]')) {
      const v = now.verdicts.get(el.dataset.verdict);
      if (v && v !== then.verdicts.get(el.dataset.verdict)) put(el, v === 'none' ? '–' : v, '');
    }
    for (const el of document.querySelectorAll('[data-price-of]')) {
      const i = data.prices.findIndex(p => p.key === el.dataset.priceOf), p = data.prices[i];
      if (changed.has(i)) put(el, printFigure(data.units[p.unit.replace(/\/node$/, '')], {Value: changed.get(i), Low: NaN, High: NaN}, true)[0], '');
    }
    for (const el of document.querySelectorAll('#economics figcaption, #price-sheet > details > summary')) stays(el);
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
  // The chart of margins by the power price: each line is drawn anew, and the level moves.
  const power = data.prices.findIndex(p => p.key === 'power_price'), drawn = new Map();
  const within = (v, a, b) => Math.min(Math.max(v, Math.min(a, b)), Math.max(a, b));
  const draw = () => {
    for (const svg of document.querySelectorAll('#what-if svg[data-x]')) {
      const [x0, x1, least, most] = svg.dataset.x.split(' ').map(Number), [y0, y1, low, high] = svg.dataset.y.split(' ').map(Number);
      const atX = v => x0 + (v - least) / (most - least) * (x1 - x0), atY = v => y0 + (v - low) / (high - low) * (y1 - y0);
      for (const g of svg.querySelectorAll('g[data-series^="row-"]')) {
        const path = g.querySelector('path'), row = data.rows[Number(g.dataset.series.slice(4))];
        if (!drawn.has(path)) drawn.set(path, path.getAttribute('d'));
        let d = drawn.get(path);
        if (changed.size) {
          d = '';
          for (let i = 0; i <= 100; i++) { // points beyond the axes are not drawn
            const price = least + (most - least) * i / 100, y = figureAt(data, row, termsAt(data, row, new Map([...changed, [power, price]])), 'margin').Value;
            if (y >= Math.min(low, high) && y <= Math.max(low, high)) d += `${d && !d.endsWith(' ') ? 'L' : 'M'}${atX(price).toFixed(2)},${atY(y).toFixed(2)}`;
            else if (d) d += ' ';
          }
        }
        path.setAttribute('d', d);
      }
      for (const g of svg.querySelectorAll('g[data-level="power-price"]')) {
        const move = changed.has(power) ? atX(within(changed.get(power), least, most)) - atX(data.prices[power].value) : 0;
        if (move) g.querySelector('path').setAttribute('transform', `translate(${move.toFixed(2)} 0)`);
        else g.querySelector('path').removeAttribute('transform');
      }
    }
  };
  const show = () => {
    restore();
    draw();
    document.documentElement.classList.toggle('tried', changed.size > 0);
    back.disabled = changed.size === 0;
    for (const d of dials) {
      const i = Number(d.dataset.price), v = changed.get(i) ?? data.prices[i].value;
      for (const input of d.querySelectorAll('input')) if (Number(input.value) !== v) input.value = v;
      d.classList.toggle('tried', changed.has(i));
      d.querySelector('.if').hidden = !changed.has(i);
    }
    now = changed.size ? evaluateAll(data, changed) : then;
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
