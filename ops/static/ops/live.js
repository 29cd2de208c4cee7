// Live pages: a stream says that something has changed, the page is fetched again, and its parts change in place.
// Without scripts a page stays as it was sent; without a stream it is fetched every POLL_MS.
(() => {
  const [POLL_MS, RARE_MS, LEAST_MS, SILENT_MS, AGAIN_MS, TIMEOUT_MS] = [10_000, 60_000, 3_000, 20_000, 60_000, 20_000];
  const LOGIN = new URL("../../admin/login/", document.currentScript.src).pathname;
  const KNOWN = "ops-known"; // in the session's storage: the rows that were shown and chosen before new ones came in
  const text = window.opsText;
  const UNITS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];

  // Ages, by the server's clock: "3 min ago" goes on to "4 min ago" without a request.
  let ahead = 0; // milliseconds by which the server's clock is ahead of this one
  function span(seconds) {
    const parts = [];
    for (const [unit, size] of UNITS) {
      if (seconds >= size) parts.push(text(unit, { count: Math.floor(seconds / size) }));
      seconds %= size;
    }
    return parts.slice(0, 2).join(" ");
  }
  function age(time, now) {
    const seconds = (now - Date.parse(time.dateTime)) / 1000;
    if (time.dataset.overdue !== undefined) return text("overdue", { duration: span(seconds) });
    if (Math.abs(seconds) < 1) return text("now");
    return text(seconds > 0 ? "ago" : "in", { duration: span(Math.abs(seconds)) });
  }
  function tick() {
    const now = Date.now() + ahead;
    document.querySelectorAll("time[datetime] > .ops-relative").forEach((word) => {
      const words = age(word.parentElement, now);
      if (word.firstChild?.data !== words) word.textContent = words;
    });
  }

  let [root, source, versions, heardAt] = [null, null, null, 0];
  let [paused, timer, asking, askedAt, took] = [false, 0, false, 0, 0];
  const isLive = () => root && !paused && document.visibilityState === "visible";
  const isStreaming = () => source?.readyState === EventSource.OPEN && performance.now() - heardAt < SILENT_MS;
  const parts = () => [...document.querySelectorAll("[data-live][id]")];
  const seconds = (name) => Math.max(0, ...parts().map((part) => Number(part.dataset[name] ?? 0))) * 1000;

  // Lists: a row changes in place; rows that are new wait until somebody lets them in, so that none moves under a hand.
  const keyOf = (row) => row.dataset.key ?? row.querySelector("a[href*='/change/']")?.pathname;
  const listOf = (page) => page.querySelector("#result_list, [data-list]");
  const rowsOf = (list) => new Map([...(list?.querySelectorAll("tr.data-row, tr[data-key]") ?? [])].map((row) => [keyOf(row), row]));
  const isList = () => document.querySelector("#changelist, [data-listed]");
  const wordsOf = (element) => { // as a screen reader reads them, without ages
    const copy = element.cloneNode(true);
    copy.querySelectorAll("time").forEach((time) => time.replaceWith(time.dateTime));
    copy.querySelectorAll("[aria-hidden=true]").forEach((icon) => icon.remove());
    return copy.textContent.replace(/\s+/g, " ").trim();
  };
  const tabs = () => document.querySelector("[data-new]"); // of a list whose server counts what is new
  function headers() {
    const first = rowsOf(listOf(document)).keys().next().value;
    const turned = /[?&](before|after)=/.test(location.search); // such a page has a fixed end
    return { "X-Live": "1", ...(tabs() && first && !turned && { "X-Seen": first.split("/").at(-3) }) };
  }

  function changeList(fresh, { order, more }) {
    const [old, rows, found] = [listOf(document), rowsOf(listOf(document)), rowsOf(listOf(fresh))];
    let gone = 0;
    for (const [key, row] of rows) {
      const now = found.get(key);
      const left = Boolean(tabs() || order) && !now;
      row.classList.toggle("ops-gone", left);
      gone += left;
      if (now) changeRow(row, now);
    }
    showNews(old && tabs() && !order ? Number(tabs().dataset.new) : countNew(rows, [...found.keys()], order && more !== undefined), gone);
  }

  // Where rows leave at the top, others come up from the next page: those below the last that was shown are not new.
  function countNew(rows, keys, hasMore) {
    const end = hasMore && rows.size ? keys.findLastIndex((key) => rows.has(key)) : keys.length;
    return keys.filter((key, n) => n < end && !rows.has(key)).length;
  }

  function changeRow(row, now) {
    const [changed, cells] = [wordsOf(row) !== wordsOf(now), [...now.cells]];
    [...row.cells].forEach((cell, n) => {
      if (cells[n] && !cell.querySelector("input")) window.opsMorph(cell, document.adoptNode(cells[n])); // a choice stays
    });
    if (!changed) return;
    row.classList.remove("ops-changed");
    requestAnimationFrame(() => row.classList.add("ops-changed"));
  }

  function showNews(added, gone) {
    const words = [added && text("new", { count: added }), gone && text("gone", { count: gone })].filter(Boolean).join(", ");
    let bar = document.getElementById("ops-news");
    if (!bar && words) {
      bar = document.createElement("p");
      bar.id = "ops-news";
      bar.setAttribute("role", "status");
      const place = document.getElementById("changelist") ?? listOf(document) ?? document.getElementById("content");
      place.before(bar);
    }
    if (!bar || bar.dataset.words === words) return;
    bar.dataset.words = words;
    bar.replaceChildren();
    if (!words) return;
    const button = bar.appendChild(document.createElement("button"));
    button.type = "button";
    button.className = "ops-button";
    button.textContent = text("show", { news: words });
    button.addEventListener("click", letIn);
  }

  function letIn() {
    const chosen = [...document.querySelectorAll("input[name=_selected_action]:checked")].map((box) => box.value);
    const known = [...rowsOf(listOf(document)).keys()];
    sessionStorage.setItem(KNOWN, JSON.stringify({ path: location.pathname, known, chosen }));
    location.reload();
  }

  function markNew() {
    const kept = JSON.parse(sessionStorage.getItem(KNOWN) ?? "{}");
    sessionStorage.removeItem(KNOWN);
    if (kept.path !== location.pathname) return;
    for (const [key, row] of rowsOf(listOf(document))) row.classList.toggle("ops-new", !kept.known.includes(key));
    document.querySelectorAll("input[name=_selected_action]").forEach((box) => { if (kept.chosen.includes(box.value)) box.click(); });
  }

  // One fetch for all parts, never two at once, and less often the longer the server takes.
  function ask() {
    if (timer || asking || !isLive()) return;
    const least = Math.max(LEAST_MS, seconds("every"), took * 4);
    timer = setTimeout(refresh, Math.max(0, askedAt + least - performance.now()));
  }

  async function refresh() {
    [timer, asking, askedAt] = [0, true, performance.now()];
    try {
      const answer = await fetch(location.href, { headers: headers(), signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (answer.redirected && new URL(answer.url).pathname === LOGIN) location.reload();
      else if (answer.ok) update(new DOMParser().parseFromString(await answer.text(), "text/html"));
      else showStale(text("answered", { status: answer.status }));
    } catch (fault) {
      if (fault.name === "TypeError" || fault.name === "TimeoutError") showStale(text("silent"));
      else throw fault;
    } finally {
      [asking, took] = [false, performance.now() - askedAt];
    }
  }

  function update(fresh) {
    if (!isLive()) return;
    document.querySelectorAll(".ops-stale").forEach((word) => word.remove());
    const shown = { ...(tabs() ?? listOf(document))?.dataset }; // before the tabs change
    const say = () => new Map([...document.querySelectorAll("[data-say]")].map((e) => [e.dataset.say, wordsOf(e)]));
    const told = say();
    for (const part of parts()) {
      const next = fresh.getElementById(part.id);
      if (next) window.opsMorph(part, document.adoptNode(next));
    }
    if (isList()) changeList(fresh, shown);
    showBadges(JSON.parse(fresh.getElementById("ops-badges")?.textContent ?? "{}"));
    document.dispatchEvent(new Event("ops:updated"));
    tick();
    const news = [...say()].filter(([name, words]) => told.get(name) !== words).map((pair) => pair.join(": "));
    if (news.length) document.getElementById("ops-live-said").textContent = news.join(". ");
  }

  function showBadges(badges) {
    for (const [link, words] of Object.entries(badges)) {
      document.querySelectorAll(`#nav-sidebar a[href="${CSS.escape(link)}"]`).forEach((place) => {
        const badge = place.querySelector(".ops-badge") ?? (words && place.appendChild(document.createElement("span")));
        if (!badge) return;
        badge.className = "ops-badge";
        if (words) badge.textContent = words; else badge.remove();
      });
    }
  }

  function showStale(why) {
    const part = parts().at(-1) ?? document.getElementById("content");
    if (!part || document.querySelector(".ops-stale")) return;
    const word = document.createElement("p");
    word.className = "ops-stale ops-warning";
    word.setAttribute("role", "alert");
    const time = new Date().toLocaleTimeString("sv-SE", { timeZoneName: "short" });
    word.textContent = text("stale", { time, reason: why });
    part.prepend(word);
  }

  function open() {
    if (source || !isLive()) return;
    source = new EventSource(root.dataset.stream);
    source.onopen = () => { heardAt = performance.now(); };
    source.onmessage = ({ data }) => {
      heardAt = performance.now();
      const heard = JSON.parse(data);
      const changed = !versions || Object.entries(heard).some(([topic, version]) => versions[topic] !== version);
      versions = { ...versions, ...heard };
      if (changed) ask();
      show();
    };
    source.onerror = () => {
      if (source?.readyState !== EventSource.CLOSED) return; // it connects again by itself
      source = null; // all streams are taken, or this one may not be opened
      setTimeout(open, AGAIN_MS);
    };
  }

  function close() {
    source?.close();
    clearTimeout(timer);
    [source, timer] = [null, 0];
  }

  function show() {
    const every = text("s", { count: (seconds("refresh") || POLL_MS) / 1000 });
    const state = paused ? text("paused") : isStreaming() ? text("live") : text("updatedEvery", { duration: every });
    const [word, button] = root.querySelectorAll("[data-live-state], [data-live-pause]");
    if (word.textContent !== state) word.textContent = state;
    button.textContent = text(paused ? "resume" : "pause");
  }

  function addControl() {
    const line = root.appendChild(document.createElement("p"));
    line.className = "ops-note ops-live-state";
    line.appendChild(document.createElement("span")).dataset.liveState = "";
    const button = line.appendChild(document.createElement("button"));
    button.type = "button";
    button.className = "ops-link";
    button.dataset.livePause = "";
    button.addEventListener("click", () => {
      paused = !paused;
      if (paused) close(); else { open(); ask(); }
      show();
    });
  }

  function poll() {
    const every = isStreaming() ? seconds("refresh") || RARE_MS : seconds("refresh") || POLL_MS;
    if (isLive() && performance.now() - askedAt >= every) ask();
    show();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const found = document.getElementById("ops-live");
    if (!found) return;
    ahead = Date.parse(found.dataset.now) - Date.now();
    tick();
    setInterval(() => { if (document.visibilityState === "visible") tick(); }, 1000);
    markNew();
    if (!found.dataset.stream) return;
    root = found;
    askedAt = performance.now();
    addControl();
    open();
    setInterval(poll, 1000);
    show();
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    addEventListener("pagehide", close);
    addEventListener("pageshow", open);
  });
})();
