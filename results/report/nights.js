'use strict';
// Each picture of a history is replaced by one that zooms: drag over the nights
// to see them, double-click or the button to see all. All zoom together.
(() => {
  const css = name => getComputedStyle(document.documentElement).getPropertyValue('--chart-' + name).trim();
  const day = t => new Date(t * 1000).toISOString().slice(0, 16).replace('T', ' ');
  const charts = [];
  const prefixes = {'-12': 'p', '-9': 'n', '-6': 'µ', '-3': 'm', 0: '', 3: 'k', 6: 'M', 9: 'G', 12: 'T', 15: 'P', 18: 'E'};
  const draw = (figure, d) => {
    const k = d.factor, size = Math.max(...d.v.map(v => Math.abs(v ?? 0))) * k;
    const plain = d.unit === '%' || !(size > 0);
    const exp = plain ? 0 : Math.min(18, Math.max(-12, 3 * Math.floor(Math.log10(size) / 3 + 1e-9)));
    const unit = (prefixes[exp] ?? '') + d.unit, f = k / 10 ** exp;
    const scale = a => a.map(v => v === null ? null : v * f);
    const level = d.t.map(t => { const l = d.levels.find(l => l[0] <= t && t <= l[1]); return l ? l[2] * f : null; });
    const print = v => v === null || v === undefined ? '–' : Number(v.toPrecision(5)).toLocaleString('en', {maximumSignificantDigits: 5});
    const host = document.createElement('div');
    host.className = 'zoom';
    figure.append(host);
    const events = u => {
      const c = u.ctx;
      c.save();
      c.strokeStyle = css('rule');
      c.setLineDash([3, 4]);
      for (const e of d.events) {
        if (e.t < u.scales.x.min || e.t > u.scales.x.max) continue;
        const x = Math.round(u.valToPos(e.t, 'x', true));
        c.beginPath(); c.moveTo(x, u.bbox.top); c.lineTo(x, u.bbox.top + u.bbox.height); c.stroke();
      }
      c.restore();
    };
    const note = document.createElement('p');
    note.className = 'note';
    note.setAttribute('aria-live', 'off');
    const say = u => {
      const i = u.cursor.idx;
      if (i === null || i === undefined || d.v[i] === null) { note.textContent = 'Drag to zoom, double-click for all.'; return; }
      let text = `${day(d.t[i])}: ${print(d.v[i] * f)} ${unit}`;
      if (d.low[i] !== null && d.high[i] !== null) text += ` [${print(d.low[i] * f)}, ${print(d.high[i] * f)}]`;
      if (d.rev[d.at[i]]) text += `, revision ${d.rev[d.at[i]]}`;
      const near = d.events.filter(e => Math.abs(e.t - d.t[i]) < 86400).map(e => e.n);
      note.textContent = near.length ? `${text}; ${near.join('; ')}` : text;
    };
    const axis = {stroke: () => css('muted'), grid: {stroke: () => css('grid'), width: 1}, ticks: {stroke: () => css('rule'), width: 1}};
    const u = new uPlot({
      width: Math.max(260, figure.clientWidth), height: 240, tzDate: t => uPlot.tzDate(new Date(t * 1000), 'Etc/UTC'),
      cursor: {sync: {key: 'nights', scales: ['x', null]}, y: false, drag: {x: true, y: false}},
      legend: {show: false}, scales: {x: {time: true}},
      axes: [{...axis, space: 80, values: (u, at) => at.map(t => day(t).replace(' 00:00', ''))}, {...axis, label: unit, labelSize: 18, size: 62}],
      series: [
        {},
        {label: 'low', stroke: 'transparent', points: {show: false}},
        {label: 'high', stroke: 'transparent', points: {show: false}},
        {label: 'value', stroke: () => css('a'), width: 1.2, points: {size: 4}},
        {label: 'level', stroke: () => css('b'), width: 2.5, points: {show: false}},
      ],
      bands: [{series: [2, 1], fill: () => css('deep')}],
      hooks: {draw: [events], setCursor: [say], setScale: [(u, key) => {
        if (key !== 'x' || u.following) return;
        for (const other of charts) {
          if (other === u) continue;
          other.following = true;
          other.setScale('x', {min: u.scales.x.min, max: u.scales.x.max});
          other.following = false;
        }
      }]},
    }, [d.t, scale(d.low), scale(d.high), scale(d.v), level], host);
    host.append(note);
    say(u);
    charts.push(u);
    figure.querySelector('.chart').classList.add('still');
    return u;
  };
  const figures = [...document.querySelectorAll('figure')].filter(f => f.querySelector('script.nights'));
  for (const figure of figures) {
    let d;
    try { d = JSON.parse(figure.querySelector('script.nights').textContent); } catch { continue; }
    if (d.t.length > 1) draw(figure, d);
  }
  if (!charts.length) return;
  const all = document.createElement('button');
  all.type = 'button';
  all.id = 'all-nights';
  all.textContent = 'Show all nights';
  all.addEventListener('click', () => { for (const u of charts) { u.following = true; u.setScale('x', {min: u.data[0][0], max: u.data[0].at(-1)}); u.following = false; } });
  document.querySelector('header').append(all);
  addEventListener('resize', () => { for (const u of charts) u.setSize({width: Math.max(260, u.root.closest('figure').clientWidth), height: 240}); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { for (const u of charts) u.redraw(false, true); });
})();
