'use strict';
// Every figure is a link to itself. It opens a panel that says where the figure comes
// from, and the address then leads to it: #FIGURE, where perwatt explain takes FIGURE,
// or the id of a section. What follows an & is not ours, and is kept.
(() => {
  const encode = id => encodeURIComponent(id).replace(/%(2F|3A|40|2C)/g, decodeURIComponent);
  const parts = () => {
    const [at, ...rest] = location.hash.slice(1).split('&');
    if (at.includes('=')) return ['', [at, ...rest]];
    try { return [decodeURIComponent(at), rest]; } catch { return ['', rest]; }
  };
  const go = id => { location.hash = [encode(id), ...parts()[1]].join('&'); };

  const data = JSON.parse(document.getElementById('explained')?.textContent || '{"lines":[],"texts":[],"of":{}}');
  const of = new Map(Object.entries(data.of).flatMap(([of, figures]) => Object.entries(figures).map(([name, text]) => [of + name, data.texts[text]])));
  const cells = new Map(); // the first place of each figure
  for (const cell of document.querySelectorAll('main [data-figure]')) {
    const id = cell.dataset.figure, text = [...cell.childNodes].find(n => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!text) continue;
    const a = document.createElement('a');
    a.className = 'figure';
    a.href = '#' + encode(id);
    a.title = 'Where it comes from: ' + id;
    text.replaceWith(a);
    a.append(text);
    if (!cells.has(id)) cells.set(id, cell);
  }
  const places = new Map(); // candidates, records and nodes: the first place of each is a link to itself
  for (const cell of document.querySelectorAll('main [data-at]')) {
    const at = cell.dataset.at, text = [...cell.childNodes].find(n => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (places.has(at)) continue;
    places.set(at, cell);
    if (!text) continue; // it leads elsewhere
    const a = document.createElement('a');
    a.className = 'figure';
    a.href = '#' + encode(at);
    a.title = 'A link to ' + at;
    text.replaceWith(a);
    a.append(text);
  }

  const panel = document.createElement('dialog');
  panel.className = 'explain';
  panel.tabIndex = -1;
  panel.setAttribute('aria-labelledby', 'explain-figure');
  const element = (name, text) => {
    const el = document.createElement(name);
    el.textContent = text;
    return el;
  };
  let from = null; // the link that has opened the panel
  const close = back => {
    for (const el of document.querySelectorAll('.at')) el.classList.remove('at');
    if (!panel.open) return;
    panel.close();
    if (!back) return;
    history.replaceState(null, '', '#' + parts()[1].join('&'));
    from?.focus({preventScroll: true});
  };
  const explain = (id, cell) => {
    const shut = element('button', 'Close');
    shut.type = 'button';
    shut.addEventListener('click', () => close(true));
    const name = element('h2', id);
    name.id = 'explain-figure';
    const list = document.createElement('dl');
    for (const i of of.get(id) ?? []) {
      const row = document.createElement('div');
      row.append(element('dt', data.lines[i][0]), element('dd', data.lines[i][1]));
      list.append(row);
    }
    const command = document.createElement('p');
    command.append(of.has(id) ? 'Its windows: ' : 'Where it comes from: ', element('code', `perwatt explain '${id.replaceAll("'", `'\\''`)}' RECORD...`));
    const shown = element('p', cell.innerText.replace(/\s+/g, ' '));
    shown.className = 'shown';
    panel.replaceChildren(shut, name, shown, list, command);
    if (!panel.isConnected) document.body.append(panel);
    if (!panel.open) panel.show();
    panel.dataset.of = id;
    document.dispatchEvent(new Event('explained'));
    panel.focus({preventScroll: true}); // not its button, which the key that opened it could press
  };

  const follow = () => {
    const [at] = parts(), cell = cells.get(at), el = cell ?? places.get(at) ?? (at ? document.getElementById(at) : null);
    close(false);
    if (!el) return;
    for (let d = el.closest('details'); d; d = d.parentElement.closest('details')) d.open = true;
    const row = el.closest('tr'), more = (row?.matches('.rest') ? row.previousElementSibling : row)?.querySelector('.more');
    if (more && !el.checkVisibility()) more.open = true;
    el.scrollIntoView({block: el.id ? 'start' : 'center'});
    if (!el.id) el.classList.add('at');
    if (!cell) return;
    if (!cell.contains(from)) from = cell.querySelector('a.figure');
    explain(at, cell);
  };
  addEventListener('hashchange', follow);
  addEventListener('keydown', e => { if (e.key === 'Escape') close(true); });
  document.addEventListener('click', e => {
    const a = e.target.closest?.('a[href^="#"]');
    if (!a || e.ctrlKey || e.metaKey || e.shiftKey) return;
    const figure = a.classList.contains('figure');
    if (!figure && parts()[1].length === 0) return; // the browser does it
    e.preventDefault();
    if (figure) from = a;
    const before = location.hash;
    go(decodeURIComponent(a.hash.slice(1)));
    if (location.hash === before) follow();
  });
  follow();
})();
