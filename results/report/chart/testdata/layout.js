// Lists the texts of charts that leave their drawing or their figure, lie on each other or
// are crossed by a mark, as the browser lays them out now. A text is as wide as the browser
// says, and as high as letters are: a line of it is higher.
(() => {
  const faults = [], grounds = new Set(['grid', 'bg', 'band', 'tie', 'deep', 'up1', 'up2', 'up3', 'dn1', 'dn2', 'dn3']);
  let texts = 0;
  const crosses = (b, [x0, y0, x1, y1]) => { // Liang and Barsky's clipping
    let from = 0, to = 1;
    for (const [p, q] of [[x0 - x1, x0 - b.x0], [x1 - x0, b.x1 - x0], [y0 - y1, y0 - b.y0], [y1 - y0, b.y1 - y0]]) {
      if (p === 0) { if (q <= 0.05) return false; } else if (p < 0) from = Math.max(from, q / p); else to = Math.min(to, q / p);
    }
    return to - from > 1e-3;
  };
  const lines = el => {
    if (el.nodeName === 'circle') {
      const [x, y, r] = ['cx', 'cy', 'r'].map(a => Number(el.getAttribute(a)));
      return [[x - r, y, x + r, y], [x, y - r, x, y + r]];
    }
    return el.getAttribute('d').split('M').slice(1).flatMap(part => {
      const n = part.match(/-?[0-9.]+/g).map(Number), out = [];
      for (let i = 2; i + 1 < n.length; i += 2) out.push([n[i - 2], n[i - 1], n[i], n[i + 1]]);
      if (part.endsWith('Z')) out.push([n[n.length - 2], n[n.length - 1], n[0], n[1]]);
      return out;
    });
  };
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`the page is ${root.scrollWidth} px wide in ${root.clientWidth}`);
  for (const svg of document.querySelectorAll('.chart > svg')) {
    const sheet = svg.getBoundingClientRect(), figure = svg.closest('figure').getBoundingClientRect();
    if (!sheet.width) continue; // the other of two drawings
    const scale = sheet.width / svg.viewBox.baseVal.width, name = svg.closest('figure').id;
    const say = (text, what) => faults.push(`${name}, ${svg.getAttribute('class')}: "${text.textContent.slice(0, 60)}" ${what}`);
    const boxes = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim()).map(el => {
      const n = el.getNumberOfChars(), size = Number(el.getAttribute('font-size') ?? svg.getAttribute('font-size')), y = Number(el.getAttribute('y'));
      return {el, x0: el.getStartPositionOfChar(0).x, x1: el.getEndPositionOfChar(n - 1).x, y0: y - 0.76 * size, y1: y + 0.22 * size};
    });
    texts += boxes.length;
    const right = (figure.right - sheet.left) / scale;
    const marks = [...svg.querySelectorAll('path, circle')].filter(el => !(el.getAttribute('class') ?? '').split(' ').every(c => grounds.has(c.slice(2)))).flatMap(lines);
    boxes.forEach((b, i) => {
      if (b.x0 < -0.5 || b.y0 < -0.5 || b.x1 > svg.viewBox.baseVal.width + 0.5 || b.y1 > svg.viewBox.baseVal.height + 0.5 || b.x1 > right + 0.5) say(b.el, `leaves its drawing: ${[b.x0, b.y0, b.x1, b.y1].map(v => v.toFixed(1))}`);
      for (const c of boxes.slice(0, i)) if (b.x0 < c.x1 - 0.3 && c.x0 < b.x1 - 0.3 && b.y0 < c.y1 - 0.3 && c.y0 < b.y1 - 0.3) say(b.el, `lies on "${c.el.textContent.slice(0, 60)}"`);
      const inside = {x0: b.x0 + 0.5, x1: b.x1 - 0.5, y0: b.y0 + 0.3, y1: b.y1 - 0.3};
      if (marks.some(m => crosses(inside, m))) say(b.el, 'is crossed by a mark');
    });
  }
  for (const el of document.querySelectorAll('.chart p, .chart li')) {
    const r = el.getBoundingClientRect(), figure = el.closest('figure').getBoundingClientRect();
    if (!r.width) continue;
    texts++;
    if (r.left < figure.left - 0.5 || r.right > figure.right + 0.5 || el.scrollWidth > el.clientWidth + 1 && getComputedStyle(el).display !== 'inline') faults.push(`${el.closest('figure').id}: "${el.textContent.slice(0, 60)}" is wider than its figure`);
  }
  for (const el of document.querySelectorAll('.chart li svg')) if (el.getBoundingClientRect().width > 40) faults.push('the look of a line is drawn too large');
  const one = document.createElement('canvas').getContext('2d');
  one.font = '100px sans-serif';
  return {texts, faults: faults.slice(0, 20), wide: one.measureText('WWWWWiiiii').width};
})()
