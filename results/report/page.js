'use strict';
(() => {
  // Sorting: each head of a table becomes a button; bare numbers are in data-sort.
  // What has no number stands last in a column of numbers, either way.
  const key = (row, i) => {
    const cell = row.cells[i];
    if (!cell) return '';
    const s = cell.dataset.sort;
    if (s !== undefined) return Number(s);
    return cell.classList.contains('num') ? NaN : cell.textContent.trim();
  };
  // What is folded below a row goes where the row goes.
  const rest = row => row.nextElementSibling?.matches('.rest') ? [row.nextElementSibling] : [];
  for (const table of document.querySelectorAll('main table')) {
    const heads = table.tHead.rows[0].cells, body = table.tBodies[0];
    const rows = () => [...body.rows].filter(row => !row.matches('.rest'));
    if (rows().length < 2) continue;
    [...heads].forEach((th, i) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener('click', () => {
        const down = th.getAttribute('aria-sort') === 'ascending';
        for (const other of heads) other.removeAttribute('aria-sort');
        th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const sorted = rows().map((row, n) => ({row, n, k: key(row, i)}));
        sorted.sort((a, b) => {
          if (typeof a.k === 'string') return (down ? -1 : 1) * a.k.localeCompare(b.k, 'en', {numeric: true}) || a.n - b.n;
          return Number.isNaN(a.k) - Number.isNaN(b.k) || (down ? b.k - a.k : a.k - b.k) || a.n - b.n;
        });
        body.append(...sorted.flatMap(({row}) => [row, ...rest(row)]));
      });
    });
  }
  // Filtering: rows of tables whose first columns name what is filtered by.
  const filter = document.getElementById('filter');
  if (filter) {
    filter.addEventListener('input', () => {
      const want = filter.value.toLowerCase();
      for (const table of document.querySelectorAll('main table')) {
        const of = [...table.tHead.rows[0].cells].findIndex(th => th.textContent.startsWith(filter.dataset.rows));
        for (const row of of < 0 ? [] : table.querySelectorAll('tbody tr:not(.rest)')) {
          const out = !row.cells[of].textContent.toLowerCase().includes(want);
          for (const r of [row, ...rest(row)]) r.hidden = out;
        }
      }
    });
  }
})();
