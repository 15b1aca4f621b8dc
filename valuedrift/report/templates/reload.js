// The study is still watched: every so often the page as it is now, with what the reader unfolded, sorted, filtered and looked at.
{
  const every = 1000 * Number(document.documentElement.dataset.reload), kept = `valuedrift ${location.pathname}`;
  const abandoned = 24 * 3600 * 1000; // nothing was written for a day: whoever watched was stopped
  const places = () => [...document.querySelectorAll("main section[id], details[id]")];
  const folds = () => {
    const seen = {};
    return [...document.querySelectorAll("details")].map((fold) => {
      const name = `${fold.closest("[id]")?.id} ${fold.querySelector("summary")?.textContent.replace(/[-+−.\d]+/g, "")}`;
      seen[name] = (seen[name] ?? 0) + 1;
      return [`${name} ${seen[name]}`, fold];
    });
  };
  const heads = () => [...document.querySelectorAll("table.sortable th")];
  const leave = () => {
    const above = places().filter((place) => place.getBoundingClientRect().top <= 1).at(-1);
    const sorted = heads().map((head, index) => [index, head.getAttribute("aria-sort")]).filter(([, how]) => how);
    const open = Object.fromEntries(folds().map(([name, fold]) => [name, fold.open]));
    sessionStorage.setItem(kept, JSON.stringify({
      open, sorted, filter: filter?.value, at: above?.id ?? "", below: above ? -above.getBoundingClientRect().top : scrollY,
    }));
    history.scrollRestoration = "manual";
    location.reload();
  };
  const come = () => {
    const before = JSON.parse(sessionStorage.getItem(kept));
    if (!before) return;
    sessionStorage.removeItem(kept);
    folds().forEach(([name, fold]) => { if (name in before.open) fold.open = before.open[name]; });
    before.sorted.forEach(([index, how]) => {
      const head = heads()[index];
      for (let press = 0; head && press < 2 && head.getAttribute("aria-sort") !== how; press += 1) head.click();
    });
    if (filter && before.filter) { filter.value = before.filter; filter.dispatchEvent(new Event("input")); }
    scrollTo(0, (before.at ? (document.getElementById(before.at)?.getBoundingClientRect().top ?? 0) + scrollY : 0) + before.below);
  };
  try { come(); } catch { /* storage is closed to this page: it reloads all the same */ }
  const look = () => {
    if (Date.now() - Date.parse(document.lastModified) > abandoned) return;
    const busy = document.hidden || String(getSelection()) || document.activeElement === filter;
    if (busy) { setTimeout(look, 1000); return; }
    try { leave(); } catch { location.reload(); }
  };
  setTimeout(look, every);
}
