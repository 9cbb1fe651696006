// The search field of the HTML pages. It finds what `workbench doc WORDS` finds: `SEARCH` is the same index, and
// `stem`, `search` and `nearest` do what src/script/docs/search does. tools/check_docs.py compares them.
"use strict";

const VOWEL = /[aeiouy]/;
const TERMS = new Map(Object.entries(SEARCH.terms));

// A word without its ending.
function stem(word) {
  word = word.toLowerCase();
  if (word.length <= 3 || !/^[a-z]+$/.test(word)) return word;
  word = word.replaceAll("iz", "is").replaceAll("our", "or");
  if (word.endsWith("ies")) word = word.slice(0, -3) + "y";
  else if (word.endsWith("sses")) word = word.slice(0, -2);
  else if (word.endsWith("s") && !/(ss|us|is)$/.test(word)) word = word.slice(0, -1);
  for (const ending of ["ing", "ed"]) {
    const rest = word.slice(0, -ending.length);
    if (!word.endsWith(ending) || rest.length < 3 || !VOWEL.test(rest) || word.endsWith("eed")) continue;
    word = /([^lsz])\1$/.test(rest) ? rest.slice(0, -1) : rest;
    break;
  }
  if (word.length > 3 && word.endsWith("e")) word = word.slice(0, -1);
  if (word.length > 7 && word.endsWith("ation")) word = word.slice(0, -3);
  if (word.length > 6 && word.endsWith("at")) word = word.slice(0, -2);
  if (word.length > 3 && word.endsWith("y")) word = word.slice(0, -1) + "i";
  return word;
}

// Slips of the hand between two words: letters that are wrong, missing, too many or exchanged.
function distance(a, b) {
  let before = [], last = [...Array(b.length + 1).keys()];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(row[j - 1] + 1, last[j] + 1, last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    [before, last] = [last, row];
  }
  return last[b.length];
}

// The nearest word that stands somewhere.
function nearest(word) {
  const allowed = word.length <= 1 ? 0 : word.length <= 4 ? 1 : word.length <= 8 ? 2 : 3;
  let found = null, least = allowed + 1;
  for (const term of TERMS.keys()) {
    if (term.includes("_") || Math.abs(term.length - word.length) >= least) continue;
    const far = distance(word, term);
    if (far < least) [found, least] = [term, far];
  }
  return found;
}

// What a word counts for which passage: the word itself, or a longer one that begins with it.
function counts(word) {
  const found = new Map();
  for (const [term, places] of TERMS) {
    if (term !== word && (word.length < 3 || term.includes("_") || !term.startsWith(word))) continue;
    const share = term === word ? 1 : SEARCH.beginning;
    for (let i = 0; i < places.length; i += 2) {
      found.set(places[i], Math.max(found.get(places[i]) ?? 0, share * places[i + 1]));
    }
  }
  return found;
}

// The passages that fit a query, the best first.
function search(query) {
  const said = query.toLowerCase().split(/[^\p{L}\p{N}']+/u).filter((word) => word && !SEARCH.small.includes(word));
  const wanted = [], scores = new Map();
  for (const word of said) {
    const known = counts(stem(word)).size > 0, found = known ? stem(word) : nearest(stem(word));
    if (!found) continue;
    wanted.push(found);
    for (const [place, count] of counts(found)) {
      const [score, met] = scores.get(place) ?? [0, 0];
      scores.set(place, [score + (known ? 1 : SEARCH.near) * count, met + 1]);
    }
  }
  for (let i = 1; i < wanted.length; i++) {
    for (const term of [wanted[i - 1] + "_" + wanted[i], wanted[i - 1] + wanted[i]]) {
      const places = TERMS.get(term) ?? [];
      for (let k = 0; k < places.length; k += 2) {
        const [score, met] = scores.get(places[k]) ?? [0, 0];
        scores.set(places[k], [score + places[k + 1], met]);
      }
    }
  }
  const ranked = [...scores].map(([place, [score, met]]) => [place, score * (met / wanted.length) ** 2]);
  ranked.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  const best = ranked.length ? ranked[0][1] : 0;
  return ranked.filter(([, score]) => score > 0 && score >= SEARCH.least * best).map(([place]) => SEARCH.passages[place]);
}

// The field and the list below it.
function attach(form) {
  const field = form.querySelector("input"), list = form.querySelector("ul");
  let at = -1;

  function choose(next) {
    const items = list.querySelectorAll("[role=option]");
    at = items.length ? (next + items.length) % items.length : -1;
    items.forEach((item, i) => item.setAttribute("aria-selected", i === at));
    if (at < 0) field.removeAttribute("aria-activedescendant");
    else {
      field.setAttribute("aria-activedescendant", items[at].id);
      items[at].scrollIntoView({ block: "nearest" });
    }
  }

  function show(open) {
    list.hidden = !open;
    field.setAttribute("aria-expanded", open);
  }

  function item([title, summary, address], i) {
    const line = document.createElement("li"), link = document.createElement("a");
    line.id = `found-${i}`;
    line.setAttribute("role", "option");
    link.href = address;
    link.tabIndex = -1;
    for (const [kind, text] of [["b", title], ["span", summary]]) {
      link.append(Object.assign(document.createElement(kind), { textContent: text }));
    }
    line.append(link);
    return line;
  }

  function update() {
    const found = search(field.value).slice(0, 12);
    const none = Object.assign(document.createElement("li"), { className: "none", textContent: "Found nowhere." });
    list.replaceChildren(...(found.length ? found.map(item) : [none]));
    show(field.value.trim() !== "");
    choose(found.length ? 0 : -1);
  }

  field.addEventListener("input", update);
  field.addEventListener("focus", () => field.value.trim() && update());
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (list.hidden) update();
      else choose(at + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Escape" && !list.hidden) show(false);
    else return;
    event.preventDefault();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = list.hidden ? null : list.querySelectorAll("a")[at];
    if (!chosen) return update();
    show(false);
    chosen.click();
  });
  document.addEventListener("click", (event) => form.contains(event.target) || show(false));
  list.addEventListener("click", (event) => event.target.closest("a") && show(false));
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    field.focus();
    event.preventDefault();
  });
  // `names.html?q=words` is a search that can be passed on.
  const asked = new URLSearchParams(location.search).get("q");
  if (asked) {
    field.value = asked;
    field.focus();
    update();
  }
}

document.querySelectorAll("form[role=search]").forEach(attach);
