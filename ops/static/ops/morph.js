// Changes a part of the page into what the server sent anew. What is alike stays the same element, and with it the
// focus, the selection, typed text and what was opened.
(() => {
  const EDITED = "textarea, select"; // their content is what was typed or chosen
  const ROW = "tr, li, tbody";

  // What an element is about: it never becomes one about something else, for it may be focused, or about to be pressed.
  function keyOf(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) return "";
    if (node.id || node.dataset.key) return node.id || node.dataset.key;
    if (node.matches("button, [type=checkbox], [type=radio]")) return `${node.name}=${node.getAttribute("value")}`;
    if (node.matches("input, textarea, select")) return node.name;
    const link = node.matches("a") ? node : node.matches(ROW) && node.querySelector("a[href]");
    return link ? link.getAttribute("href") ?? "" : "";
  }

  // Of what has no key, the next of the same kind; what has one keeps its place until it is asked for.
  function alike(at, next) {
    while (at && (at.nodeName !== next.nodeName || keyOf(at))) at = at.nextSibling;
    return at;
  }

  function attributes(old, fresh) {
    const own = (name) => name === "open" && old.matches("details");
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !own(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value && !own(name)) old.setAttribute(name, value);
  }

  function children(old, fresh) {
    const keyed = new Map([...old.children].map((child) => [keyOf(child), child]).filter(([key]) => key));
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const key = keyOf(next);
      let match = key ? keyed.get(key) : alike(at, next);
      if (match?.nodeName !== next.nodeName) match = null;
      keyed.delete(key);
      if (!match) old.insertBefore(next, at);
      else if (match === at) at = at.nextSibling;
      else old.insertBefore(match, at);
      if (match) change(match, next);
    }
    while (at) {
      const left = at;
      at = at.nextSibling;
      left.remove();
    }
  }

  function change(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
    } else if (!old.isEqualNode(fresh) && !old.hasAttribute("data-keep")) {
      if (old.matches(EDITED)) return;
      attributes(old, fresh);
      children(old, fresh);
    }
  }

  // Focus that a moved element lost is given back; if the element is gone, its part gets it.
  window.opsMorph = (part, fresh) => {
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const places = [...part.querySelectorAll("[tabindex='0']")].map((box) => [box, box.scrollTop, box.scrollLeft]);
    change(part, fresh);
    places.forEach(([box, top, left]) => { [box.scrollTop, box.scrollLeft] = [top, left]; });
    if (!focused || document.activeElement === focused) return;
    if (!focused.isConnected) part.tabIndex = -1;
    (focused.isConnected ? focused : part).focus({ preventScroll: true });
  };
})();
