'use strict';
(() => {
  // Sorting: each head of a table becomes a button; bare numbers are in data-sort.
  const key = (row, i) => {
    const cell = row.cells[i];
    if (!cell) return '';
    const s = cell.dataset.sort;
    return s === undefined ? cell.textContent.trim() : Number(s);
  };
  for (const table of document.querySelectorAll('main table')) {
    const heads = table.tHead.rows[0].cells;
    if (table.tBodies[0].rows.length < 2) continue;
    [...heads].forEach((th, i) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener('click', () => {
        const down = th.getAttribute('aria-sort') === 'ascending';
        for (const other of heads) other.removeAttribute('aria-sort');
        th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const rows = [...table.tBodies[0].rows].map((row, n) => ({row, n, k: key(row, i)}));
        rows.sort((a, b) => {
          const both = typeof a.k === 'number' && typeof b.k === 'number';
          const order = both ? a.k - b.k : String(a.k).localeCompare(String(b.k), 'en', {numeric: true});
          return (down ? -order : order) || a.n - b.n;
        });
        table.tBodies[0].append(...rows.map(r => r.row));
      });
    });
  }
  // Filtering: rows of tables whose first columns name a candidate.
  const tools = document.getElementById('tools');
  const filter = document.getElementById('filter');
  tools.hidden = false;
  filter.addEventListener('input', () => {
    const want = filter.value.toLowerCase();
    for (const cell of document.querySelectorAll('td[data-label^="candidate"]')) {
      cell.parentElement.hidden = !cell.textContent.toLowerCase().includes(want);
    }
  });
  addEventListener('beforeprint', () => { for (const d of document.querySelectorAll('details')) d.open = true; });
})();
