// The page has the texts of the scripts, in its language; %(name)s stands for a value.
window.opsText = (name, values = {}) => {
  window.opsTexts ??= JSON.parse(document.getElementById("ops-texts").textContent);
  return window.opsTexts[name].replace(/%\((\w+)\)s/g, (whole, key) => values[key] ?? whole);
};
// Keys to go somewhere, and the action of many jobs in steps with a bar; without scripts the same forms work as forms.
(() => {
  const TYPING = "input, textarea, select, [contenteditable]";
  const STEPS_FROM = 500; // fewer are one request
  const ADMIN = new URL("../../admin/", document.currentScript.src).pathname; // below URL_PREFIX, as this script is
  const GOES = { // after g; only where the page is in the person's own menu
    d: "", j: "jobs/job/", f: "jobs/failuregroup/", c: "jobs/crontask/", q: "queues/", p: "jobs/pause/processes/",
    z: "jobs/pause/", b: "jobs/pause/breaker/", m: "jobs/campaignclock/", s: "jobs/schedulerow/", l: "monitoring/alert/",
    h: "monitoring/alerthandler/", y: "monitoring/delivery/", a: "jobs/auditentry/", u: "auth/user/", r: "auth/group/",
  };
  const text = window.opsText;
  const number = (n) => n.toLocaleString(document.documentElement.lang);
  let waiting = false;

  const linkOf = (path) => [...document.querySelectorAll("#nav-sidebar a[href]")].findLast((a) => a.pathname === ADMIN + path);
  const nameOf = (link) => link.innerText.split("\n").findLast((words) => /[^\d\s]/.test(words)).trim(); // a number is a badge

  function line(list, keys, words) {
    const row = list.appendChild(document.createElement("div"));
    const term = row.appendChild(document.createElement("dt"));
    keys.forEach((key) => { term.appendChild(document.createElement("kbd")).textContent = key; });
    row.appendChild(document.createElement("dd")).textContent = words;
  }

  function showKeys() {
    const dialog = document.body.appendChild(document.createElement("dialog"));
    dialog.className = "ops-keys";
    dialog.setAttribute("aria-label", text("keys"));
    const list = dialog.appendChild(document.createElement("dl"));
    line(list, ["/"], text("keySearch"));
    line(list, ["Ctrl", "K"], text("keyPalette"));
    line(list, ["?"], text("keyKeys"));
    for (const [key, path] of Object.entries(GOES)) {
      const link = linkOf(path);
      if (link) line(list, ["g", key], nameOf(link));
    }
    const close = dialog.appendChild(document.createElement("button"));
    close.className = "ops-button";
    close.textContent = text("close");
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    dialog.showModal();
  }

  document.addEventListener("keydown", (event) => {
    if (event.target.closest(TYPING) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (waiting) {
      waiting = false;
      const link = event.key in GOES && linkOf(GOES[event.key]);
      if (link) location.assign(link.href);
    } else if (event.key === "g") {
      waiting = true;
      setTimeout(() => { waiting = false; }, 1500);
    } else if (event.key === "?" && !document.querySelector("dialog[open]")) {
      showKeys();
    }
  });

  const LOGIN = ADMIN + "login/";

  async function one(form, data) {
    try { // getAttribute, for form.action is the field of that name
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body: data });
      if (answer.redirected && new URL(answer.url).pathname === LOGIN) return { error: text("loggedOut"), login: answer.url };
      if (!answer.ok && answer.status !== 400) return { error: text("answered", { status: answer.status }) };
      return await answer.json().catch(() => ({ error: text("unreadable") }));
    } catch {
      return { error: text("silentStep") };
    }
  }

  function ending(word, href, label) {
    const link = document.createElement("a");
    link.href = href;
    link.textContent = label;
    word.append(" ", link);
  }

  const total = (left) => Object.values(left).reduce((a, b) => a + b, 0);

  function progress(form, done, left) {
    const sum = text("progress", { count: number(done), done: form.dataset.label, kept: number(total(left)) });
    const states = Object.entries(left).map(([state, n]) => `${number(n)} ${state}`).join(", ");
    return states ? text("progressStates", { progress: sum, states }) : sum;
  }

  async function inSteps(form) {
    const box = form.querySelector(".ops-progress");
    const [bar, word] = [box.querySelector("progress"), box.querySelector("p")];
    box.hidden = false;
    form.querySelectorAll("button").forEach((button) => { button.disabled = true; });
    let [done, after, sum, last] = [0, "", progress(form, 0, {}), {}];
    const left = {}; // by state
    do {
      const data = new FormData(form);
      data.set("step", "1");
      data.set("after", after);
      const body = await one(form, data);
      if (body.error) {
        word.setAttribute("role", "alert");
        word.textContent = text("stopped", { reason: body.error, progress: sum });
        if (body.login) ending(word, body.login, text("logIn"));
        else ending(word, form.elements.back.value, text("back"));
        return;
      }
      last = body;
      done += body.done;
      for (const [state, n] of Object.entries(body.left)) left[state] = (left[state] ?? 0) + n;
      after = body.after;
      bar.value = done + total(left);
      sum = progress(form, done, left);
      word.textContent = sum;
    } while (after);
    word.textContent = text("finished", { progress: sum, note: last.never });
    ending(word, last.action, text("action"));
    ending(word, form.elements.back.value, text("back"));
    if (last.undo) offerUndo(form, last.undo);
  }

  function offerUndo(form, url) { // a form, as the server draws it on other pages
    const undo = document.createElement("form");
    undo.className = "ops-undo";
    undo.method = "post";
    undo.action = url;
    for (const [name, value] of [["csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value], ["back", form.elements.back.value]]) {
      const field = undo.appendChild(document.createElement("input"));
      [field.type, field.name, field.value] = ["hidden", name, value];
    }
    const button = undo.appendChild(document.createElement("button"));
    button.className = "ops-button ops-plain";
    button.textContent = text("undo");
    form.after(undo); // a form cannot be inside another
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-action]") || Number(form.dataset.total) < STEPS_FROM) return;
    event.preventDefault();
    inSteps(form);
  });
})();

// The cookie of the zone is for this service only.
const ROOT = new URL("../../", document.currentScript.src).pathname;
// Times of day in the reader's own zone, on the first page too, before the server knows of it; what the server sent stays in the title, with its offset.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const known = document.cookie.split("; ").includes(`zone=${zone}`);
  document.cookie = `zone=${zone}; path=${ROOT}; max-age=31536000; SameSite=Lax`; // the server shows and reads times in it
  const two = "2-digit";
  const exact = new Intl.DateTimeFormat("sv-SE", { year: "numeric", month: two, day: two, hour: two, minute: two, second: two, timeZoneName: "short" });
  function show() {
    document.querySelectorAll("time[datetime] small").forEach((small) => {
      const time = small.parentElement;
      if (!known) small.textContent = exact.format(new Date(time.dateTime));
      time.title = window.opsText("shownIn", { time: time.dateTime, zone });
    });
  }
  document.addEventListener("DOMContentLoaded", show);
  document.addEventListener("ops:updated", show);
})();

// Boxes scroll as the browser does it: unfold's script asks for the one of the menu, to show the current page.
window.SimpleBar = { instances: { get: (box) => ({ getScrollElement: () => box }) } };

// What unfold leaves without a name of its own: its scroll boxes, the palette, the headings of filters. The name of a
// chooser's icon counts only where it is an image.
addEventListener("load", () => {
  const name = (selector, label) => document.querySelectorAll(`${selector} [data-simplebar]`).forEach((box) => {
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", label);
    box.tabIndex = 0;
  });
  name("#changelist", window.opsText("list"));
  name("#changelist-filter", window.opsText("filters"));
  name("#nav-sidebar", window.opsText("pages"));
  document.querySelectorAll("#changelist-filter h3").forEach((heading) => heading.setAttribute("aria-level", "2"));
  const palette = document.getElementById("search-input-command")?.closest(".fixed");
  palette?.setAttribute("role", "dialog");
  palette?.setAttribute("aria-modal", "true");
  palette?.setAttribute("aria-label", window.opsText("palette"));
  setTimeout(() => document.querySelectorAll(".selector .help-tooltip").forEach((icon) => icon.setAttribute("role", "img"))); // Django makes it on load
});

// Labels of cells on a phone begin with a capital, as the headings of columns do; unfold capitalizes every word.
(() => {
  const begin = () => document.querySelectorAll("#result_list [data-label]").forEach((cell) => {
    const { label } = cell.dataset;
    cell.dataset.label = label.charAt(0).toUpperCase() + label.slice(1);
  });
  document.addEventListener("DOMContentLoaded", begin);
  document.addEventListener("ops:updated", begin);
})();

// unfold's buttons that are links to nowhere (Filters) can be reached and pressed by keyboard too.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("a:not([href])").forEach((button) => {
    if (!button.hasAttribute("x-on:click")) return;
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); button.click(); }
    });
  });
});

// An icon's text is the icon's name: a screen reader would read unfold's menu as "monitoring Dashboard". Where a button
// is nothing but icons, that is all the name it has.
(() => {
  const ICON = ".material-symbols-outlined";
  function isNamed(host) {
    const rest = host.cloneNode(true);
    rest.querySelectorAll(ICON).forEach((icon) => icon.remove());
    return host.hasAttribute("aria-label") || rest.textContent.trim() !== "";
  }
  const hide = () => document.querySelectorAll(`${ICON}:not([role], [aria-hidden])`).forEach((icon) => {
    const host = icon.closest("a, button");
    if (!host || isNamed(host)) icon.setAttribute("aria-hidden", "true");
  });
  document.addEventListener("DOMContentLoaded", hide);
  document.addEventListener("ops:updated", hide);
})();

// The palette says so when it found nothing; unfold's answer then holds no list, and the box would stay empty.
document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
  if (target.id !== "command-results" || target.childElementCount) return;
  const word = target.appendChild(document.createElement("p"));
  word.className = "ops-nothing";
  word.setAttribute("role", "status");
  word.textContent = window.opsText("nothingFound");
});
