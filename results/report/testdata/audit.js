// Lists what is wrong with the page as it is laid out now, every part of it opened:
// names and structure, sideways scrolling, clipped texts, broken names and dates,
// contrast (WCAG 2.2, 1.4.3).
(() => {
  const faults = [];
  const say = (what, el) => faults.push(`${what}: <${el.nodeName.toLowerCase()} id="${el.id}" class="${el.getAttribute('class') ?? ''}"> ${el.textContent.trim().slice(0, 60)}`);
  for (const d of document.querySelectorAll('details')) d.open = true;

  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    say(`the page is ${root.scrollWidth} px wide in ${root.clientWidth}`, [...document.querySelectorAll('body *')].find(el => el.getBoundingClientRect().right > root.clientWidth + 1 && !el.closest('.scroll')) ?? root);
  }

  for (const el of document.querySelectorAll('body *')) {
    if (el.scrollWidth > el.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(el).overflowX) && !el.closest('input')) say(`${el.scrollWidth} px scroll sideways in ${el.clientWidth}`, el);
  }

  const ids = new Set();
  for (const el of document.querySelectorAll('[id]')) {
    if (!el.id || ids.has(el.id)) say('the id is not unique', el);
    ids.add(el.id);
  }
  for (const [attribute, ids] of [['href^="#"', el => el.matches('.figure') ? [] : [el.getAttribute('href').replace(/^#/, '')]], ['for', el => [el.htmlFor]], ['aria-labelledby', el => el.getAttribute('aria-labelledby').split(' ')]]) {
    for (const el of document.querySelectorAll(`[${attribute}]`)) if (!ids(el).every(id => document.getElementById(id))) say(`${attribute} leads nowhere`, el);
  }
  const figures = new Set([...document.querySelectorAll('[data-figure], [data-at]')].flatMap(el => [el.dataset.figure, el.dataset.at]));
  for (const a of document.querySelectorAll('a.figure')) if (!figures.has(decodeURIComponent(a.hash.slice(1)))) say('href leads to no figure', a);
  let level = 0;
  for (const h of document.querySelectorAll('h1,h2,h3,h4,h5,h6')) {
    const now = Number(h.nodeName[1]);
    if (now > level + 1 || now === 1 && level > 0) say('the heading is out of order', h);
    if (!h.textContent.trim()) say('the heading is empty', h);
    level = now;
  }
  for (const svg of document.querySelectorAll('svg:not([aria-hidden=true])')) {
    const named = (svg.getAttribute('aria-labelledby') ?? '').split(' ').map(id => document.getElementById(id));
    const has = name => named.some(el => el?.nodeName === name && svg.contains(el) && el.textContent.trim());
    if (svg.getAttribute('role') !== 'img' || !has('title') || !has('desc')) say('the drawing has no name and description', svg);
  }
  for (const th of document.querySelectorAll('thead th')) if (!th.textContent.trim()) say('the head is empty', th);

  // Colours as the browser paints them.
  const pen = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
  const colours = new Map();
  const rgba = css => {
    if (!colours.has(css)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = css;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
      colours.set(css, [r, g, b, a / 255]);
    }
    return colours.get(css);
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const opacities = new Map([[null, 1]]);
  const opacity = el => {
    if (!opacities.has(el)) opacities.set(el, Number(getComputedStyle(el).opacity) * opacity(el.parentElement));
    return opacities.get(el);
  };
  const faded = ([r, g, b, a], el) => [r, g, b, a * opacity(el)];
  const luminance = c => [0.2126, 0.7152, 0.0722].reduce((sum, k, i) => sum + k * ((v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)(c[i] / 255)), 0);
  const contrast = (a, b) => (([x, y]) => (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05))([luminance(a), luminance(b)]);

  // What lies below a text of HTML: the grounds of the boxes around it.
  const grounds = new Map([[null, [255, 255, 255, 1]]]);
  const ground = el => {
    if (!grounds.has(el)) grounds.set(el, over(faded(rgba(getComputedStyle(el).backgroundColor), el), ground(el.parentElement)));
    return grounds.get(el);
  };
  // What lies below a text of a drawing: whatever was painted there before it.
  const paint = (el, x, y) => {
    const style = getComputedStyle(el), at = new DOMPoint(x, y).matrixTransform(el.getScreenCTM().inverse());
    const [what, part] = style.stroke !== 'none' && el.isPointInStroke(at) ? [style.stroke, style.strokeOpacity] : [style.fill, style.fillOpacity];
    const [r, g, b, a] = rgba(what === 'none' ? 'transparent' : what);
    return faded([r, g, b, a * Number(part)], el);
  };
  const drawn = (el, style, box) => [box.left + 1, (box.left + box.right) / 2, box.right - 1].map(x => {
    const y = (box.top + box.bottom) / 2, stack = document.elementsFromPoint(x, y);
    let under = ground(el.closest('svg').parentElement);
    for (const below of stack.slice(stack.indexOf(el) + 1).reverse()) if (below instanceof SVGGeometryElement) under = over(paint(below, x, y), under);
    const halo = style.paintOrder.startsWith('stroke') && style.stroke !== 'none' && parseFloat(style.strokeWidth) >= 2;
    return halo ? over(faded(rgba(style.stroke), el), under) : under;
  });
  // What clips a text: boxes around it, a drawing among them. What only a screen
  // reader says is in a box of a pixel.
  const clips = new Map([[null, []]]);
  const clipping = el => {
    if (!clips.has(el)) {
      const style = getComputedStyle(el), box = el.getBoundingClientRect(), above = clipping(el.parentElement);
      const boxed = (style.display !== 'inline' || el instanceof SVGSVGElement) && style.display !== 'contents' && el !== root && el !== document.body;
      const x = boxed && style.overflowX !== 'visible', y = boxed && style.overflowY !== 'visible';
      const own = {left: x ? box.left : -Infinity, right: x ? box.right : Infinity, top: y ? box.top + scrollY : -Infinity, bottom: y ? box.bottom + scrollY : Infinity};
      clips.set(el, x || y ? [...above, {...own, said: style.clipPath !== 'none' && box.width <= 1}] : above);
    }
    return clips.get(el);
  };
  const clipped = (el, rects) => {
    const around = clipping(el);
    if (around.some(c => c.said)) return false;
    return around.some(c => rects.some(r => r.left < c.left - 1.5 || r.right > c.right + 1.5 || r.top + scrollY < c.top - 1.5 || r.bottom + scrollY > c.bottom + 1.5));
  };
  // How many lines a part of a text is on.
  const lines = (node, from, to) => {
    const range = document.createRange();
    range.setStart(node, from);
    range.setEnd(node, to);
    return new Set([...range.getClientRects()].filter(r => r.width).map(r => Math.round(r.top))).size;
  };
  const cards = matchMedia('screen and (max-width:63.99rem)').matches; // where a name may be longer than its line
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const el = node.parentElement, svg = el instanceof SVGElement;
    if (!node.data.trim() || el.closest('script,style,title,desc')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    let box = range.getClientRects()[0];
    if (!box || !box.width) continue; // not laid out
    if (svg && (box.top < 0 || box.bottom > innerHeight)) {
      scrollTo(0, scrollY + box.top - 20);
      box = range.getClientRects()[0];
    }
    texts++;
    if (clipped(el, [...range.getClientRects()])) say('the text is clipped', el);
    if (!svg && el.closest('main')) {
      for (const m of node.data.matchAll(/\d{4}-\d\d-\d\d( \d\d:\d\d)?/g)) if (el.closest('td,.note,dd') && lines(node, m.index, m.index + m[0].length) > 1) say(`the date ${m[0]} is broken`, el);
      if (!cards && el.closest('td.k') === (el.matches('a') ? el.parentElement : el) && !el.matches('.num') && lines(node, 0, node.length) > 1) say('the name is broken', el);
    }
    const style = getComputedStyle(el), ink = faded(rgba(svg ? style.fill : style.color), el);
    const worst = Math.min(...(svg ? drawn(el, style, box) : [ground(el)]).map(under => contrast(over(ink, under), under)));
    if (worst < 4.5 && !el.closest(':disabled')) say(`contrast ${worst.toFixed(2)}`, el);
  }
  scrollTo(0, 0);
  return {texts, faults: [...new Set(faults)].slice(0, 40)};
})()
