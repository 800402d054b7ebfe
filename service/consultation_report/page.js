"use strict";
(() => {
  const PAGE = 50;
  const MOST_PRINTED = 2000;
  const data = JSON.parse(document.getElementById("data").textContent);
  const { comments, topics, words } = data;
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  const number = (value) => value.toLocaleString("en-US");

  // Words in the language of the page.
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const say = (key, values = {}) => fill(words[key][root.lang], values);
  const rules = { ar: new Intl.PluralRules("ar"), en: new Intl.PluralRules("en") };
  const count = (noun, value) => {
    const forms = words[noun][root.lang];
    return fill(forms[rules[root.lang].select(value)] || forms.other, { n: number(value) });
  };
  const make = (name, kind, text) => {
    const element = document.createElement(name);
    if (kind) element.className = kind;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Right to left where most letters are: people begin an Arabic comment with a foreign word.
  const ARABIC = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/g;
  const LATIN = /[A-Za-z\u00c0-\u024f]/g;
  const direction = (text) => {
    const arabic = (text.match(ARABIC) || []).length;
    return arabic && arabic >= (text.match(LATIN) || []).length ? "rtl" : "ltr";
  };
  const isolate = (text) => Object.assign(make("bdi", "", text), { dir: direction(text) });

  // Topics and their signs.
  const roots = new Map(data.roots.map((topic, order) => [topic, order]));
  const place = new Map(topics.map((topic, index) => [topic.id, index]));
  const SVG = "http://www.w3.org/2000/svg";
  const sign = (topic) => {
    const svg = document.createElementNS(SVG, "svg");
    const order = roots.get(topic);
    svg.setAttribute("viewBox", "-8 -8 16 16");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("class", order === undefined ? "sign rest" : `sign k${order % data.colours}`);
    const shape = document.createElementNS(SVG, order === undefined ? "circle" : "path");
    if (order === undefined) shape.setAttribute("r", "4");
    else shape.setAttribute("d", data.shapes[order % data.shapes.length]);
    svg.append(shape);
    return svg;
  };
  const named = (topic) => [isolate(topics[topic].number), topics[topic].number && " ", isolate(topics[topic].title)];
  const topicLine = (topic) => {
    const line = make("span");
    if (topic < 0) return line;
    line.append(sign(topic), ...named(topic));
    return line;
  };

  // Search folds what Arabic writers spell in several ways; `starts` leads back to the text as written.
  const SAME = { "أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ؤ": "و", "ئ": "ي", "ى": "ي", "ی": "ي", "ة": "ه", "ک": "ك" };
  const VARIANT = /[أإآٱؤئىیةک]/g;
  const DIGIT = /[\u0660-\u0669\u06f0-\u06f9]/g;
  const NOTHING = /[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u0621\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g;
  const fold = (text) => text
    .replace(NOTHING, "")
    .replace(VARIANT, (letter) => SAME[letter])
    .replace(DIGIT, (digit) => String(digit.charCodeAt(0) & 15))
    .replace(/\s/g, " ")
    .toLowerCase();
  const traced = (text) => {
    let folded = "";
    const starts = [];
    for (let index = 0; index < text.length; index += 1) {
      const letter = fold(text[index]);
      for (let unit = 0; unit < letter.length; unit += 1) starts.push(index);
      folded += letter;
    }
    return { folded, starts };
  };
  let haystack;
  const folded = () => (haystack ??= comments.text.map((text, index) => `${fold(text)}\n${fold(comments.id[index])}`));

  // The list.
  const cut = new Set(comments.cut);
  const selects = [...document.querySelectorAll("select[data-attribute]")];
  let found = [];
  let drawn = 0;
  let needles = [];

  const wanted = (index, topic, kind, group) => {
    if (topic !== undefined && comments.topic[index] !== topic && comments.subtopic[index] !== topic) return false;
    if (kind === "own" && comments.campaign[index] >= 0) return false;
    if (kind === "minority" && (group === undefined ? comments.minority[index] < 0 : data.minorities[comments.minority[index]] !== group)) return false;
    if (kind === "campaign" && (group === undefined ? comments.campaign[index] < 0 : data.campaigns[comments.campaign[index]] !== group)) return false;
    if (kind.length === 1 && !comments.marks[index].includes(kind)) return false;
    return true;
  };

  const filter = () => {
    const query = fold(by("query").value.trim());
    needles = query.split(" ").filter(Boolean);
    const topic = place.get(by("by-topic").value);
    const [kind, group] = by("by-kind").value.split(" ");
    const values = selects.map((select) => (select.value === "" ? -1 : Number(select.value)));
    const texts = needles.length ? folded() : [];
    found = [];
    for (let index = 0; index < comments.id.length; index += 1) {
      if (!wanted(index, topic, kind, group)) continue;
      if (values.some((value, column) => value >= 0 && comments.attributes[column][index] !== value)) continue;
      if (needles.some((needle) => !texts[index].includes(needle))) continue;
      found.push(index);
    }
    const sayings = new Set();
    const firsts = found.filter((index) => !sayings.has(comments.argument[index]) && sayings.add(comments.argument[index]));
    by("found").textContent = say(data.sampled ? "found_sampled" : "found", {
      voices: count("voices", found.length), arguments: count("arguments", sayings.size),
    });
    if (by("once").checked) found = firsts;
    drawn = 0;
    by("list").replaceChildren();
    if (found.length) more();
    else {
      by("list").append(make("li", "", say("none")));
      by("more").hidden = true;
    }
  };

  const marked = (text) => {
    const parts = document.createDocumentFragment();
    const { folded: plain, starts } = needles.length ? traced(text) : { folded: "", starts: [] };
    const spans = [];
    for (const needle of needles) {
      for (let at = plain.indexOf(needle); at >= 0; at = plain.indexOf(needle, at + needle.length)) {
        spans.push([starts[at], at + needle.length < starts.length ? starts[at + needle.length] : text.length]);
      }
    }
    spans.sort((one, other) => one[0] - other[0]);
    let done = 0;
    for (const [start, end] of spans) {
      if (start < done) continue;
      parts.append(text.slice(done, start), make("mark", "", text.slice(start, end)));
      done = end;
    }
    parts.append(text.slice(done));
    return parts;
  };

  const item = (index) => {
    const line = make("li");
    const said = make("p", "words");
    said.dir = direction(comments.text[index]);
    said.append(comments.text[index] ? marked(comments.text[index]) : make("span", "soft", say("empty")));
    if (cut.has(index)) said.append("… ", make("small", "", say("cut")));
    const facts = make("p", "facts");
    const source = make("span");
    const [before, after] = say("source", { id: "\u0000" }).split("\u0000");
    source.append(before, isolate(comments.id[index]), after);
    facts.append(source, topicLine(comments.topic[index]));
    if (comments.subtopic[index] >= 0) {
      const part = make("span");
      part.append(...named(comments.subtopic[index]));
      facts.append(part);
    }
    for (const text of badges(index)) facts.append(make("span", "badge", text));
    data.attributes.forEach((attribute, column) => {
      const value = comments.attributes[column][index];
      if (value >= 0) facts.append(isolate(attribute.values[value]));
    });
    if (comments.behind[index] > 1) facts.append(make("span", "", say("same", { voices: count("voices", comments.behind[index]) })));
    line.append(said, facts);
    return line;
  };

  const MARKS = { j: "joined", p: "pinned", w: "wordless", i: "insult", s: "spam" };
  const badges = (index) => {
    const texts = [];
    if (comments.minority[index] >= 0) texts.push(say("minority", { number: data.minorities[comments.minority[index]].slice(1) }));
    if (comments.campaign[index] >= 0) texts.push(say("campaign", { number: data.campaigns[comments.campaign[index]].slice(1) }));
    for (const mark of comments.marks[index]) texts.push(say(MARKS[mark]));
    return texts;
  };

  const more = (until = drawn + PAGE) => {
    const lines = found.slice(drawn, until).map(item);
    by("list").append(...lines);
    drawn += lines.length;
    by("more").hidden = drawn >= found.length;
  };

  const show = ({ query = "", topic = "", kind = "" }) => {
    by("query").value = query;
    by("by-topic").value = topic;
    by("by-kind").value = kind;
    by("once").checked = false;
    for (const select of selects) select.value = "";
    filter();
  };

  let waiting;
  by("query").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 150);
  });
  for (const select of [by("by-topic"), by("by-kind"), by("once"), ...selects]) select.addEventListener("change", filter);
  by("clear").addEventListener("click", () => show({}));
  by("more").addEventListener("click", () => more());
  by("print-list").addEventListener("change", (event) => document.body.classList.toggle("print-list", event.target.checked));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    const { query, topic, minority, campaign } = link.dataset;
    if (query !== undefined) show({ query });
    else if (topic !== undefined) show({ topic });
    else if (minority !== undefined) show({ kind: `minority ${minority}` });
    else if (campaign !== undefined) show({ kind: `campaign ${campaign}` });
  });

  // The map: points on a canvas; whatever is read is HTML, so that the browser shapes it.
  const canvas = by("canvas");
  const plane = by("plane");
  const tip = by("tip");
  const ring = by("ring");
  const MARGIN = 24;
  const REACH = 18;
  const view = { zoom: 1, x: 0, y: 0 };
  const places = comments.id.map((_, index) => index).filter((index) => !comments.marks[index].includes("w"));
  const paths = data.shapes.map((shape) => new Path2D(shape));
  const dot = new Path2D("M0-4A4 4 0 1 1 0 4A4 4 0 1 1 0-4Z");
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  let highlight = -1;
  let current = -1;

  const fit = () => {
    const [wide, high] = comments.extent;
    const [width, height] = [plane.clientWidth, plane.clientHeight];
    const scale = Math.min((width - 2 * MARGIN) / (wide || 1), (height - 2 * MARGIN) / (high || 1));
    return { scale, width, height, high, left: (-wide * scale) / 2, top: (-high * scale) / 2 };
  };
  const project = (x, y, { scale, width, height, high, left, top }) => [
    (left + x * scale) * view.zoom + width / 2 + view.x,
    (top + (high - y) * scale) * view.zoom + height / 2 + view.y,
  ];

  const draw = (inks = {}) => {
    const ink = inks.ink || colour("--ink");
    const page = inks.page || colour("--page");
    const sharp = Math.max(2, window.devicePixelRatio || 1);
    const paper = canvas.getContext("2d");
    const frame = fit();
    canvas.width = frame.width * sharp;
    canvas.height = frame.height * sharp;
    const size = (places.length > 4000 ? 0.42 : places.length > 1000 ? 0.6 : 0.85) * Math.min(1.8, Math.sqrt(view.zoom));
    const colours = Array.from({ length: data.colours }, (_, order) => colour(`--k${order}`));
    const rest = colour("--rest");
    for (const index of places) {
      const [x, y] = project(comments.x[index], comments.y[index], frame);
      if (x < -20 || y < -20 || x > frame.width + 20 || y > frame.height + 20) continue;
      const order = roots.get(comments.topic[index]);
      paper.setTransform(sharp * size, 0, 0, sharp * size, x * sharp, y * sharp);
      paper.globalAlpha = highlight >= 0 && comments.topic[index] !== highlight ? 0.1 : 0.8;
      if (order === undefined) {
        paper.strokeStyle = rest;
        paper.lineWidth = 2;
        paper.stroke(dot);
      } else {
        paper.fillStyle = colours[order % colours.length];
        paper.fill(paths[order % paths.length]);
      }
      if (comments.minority[index] >= 0) {
        paper.globalAlpha = 1;
        paper.strokeStyle = ink;
        paper.lineWidth = 1.8 / size;
        paper.beginPath();
        paper.arc(0, 0, 8 / size, 0, 7);
        paper.stroke();
      }
    }
    paper.setTransform(sharp, 0, 0, sharp, 0, 0);
    paper.globalAlpha = 1;
    paper.textAlign = "center";
    paper.textBaseline = "middle";
    paper.font = "bold 14px sans-serif";
    comments.centres.forEach(([gx, gy], order) => {
      const topic = data.roots[order];
      if (highlight >= 0 && topic !== highlight) return;
      const [x, y] = project(gx, gy, frame);
      paper.fillStyle = page;
      paper.strokeStyle = colours[order % colours.length];
      paper.lineWidth = 2;
      paper.beginPath();
      paper.arc(x, y, 12, 0, 7);
      paper.fill();
      paper.stroke();
      paper.fillStyle = ink;
      paper.fillText(topics[topic].number, x, y + 1);
    });
  };

  const nearest = (x, y) => {
    const frame = fit();
    let best = -1;
    let least = REACH * REACH;
    for (const index of places) {
      if (highlight >= 0 && comments.topic[index] !== highlight) continue;
      const [px, py] = project(comments.x[index], comments.y[index], frame);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [best, least] = [index, distance];
    }
    return best;
  };

  const hide = () => {
    current = -1;
    tip.hidden = ring.hidden = true;
  };
  const tell = (index) => {
    if (index === current) return;
    if (index < 0) return hide();
    current = index;
    const head = make("p");
    head.append(topicLine(comments.topic[index]));
    const said = make("p", "words", comments.text[index].slice(0, 400));
    said.dir = direction(comments.text[index]);
    const facts = make("p", "soft");
    facts.append(isolate(comments.id[index]), " · ", count("voices", comments.behind[index]));
    for (const text of badges(index)) facts.append(" · ", text);
    const open = make("a", "", say("open"));
    open.href = "#comments";
    open.dataset.query = comments.id[index];
    tip.replaceChildren(head, said, facts, open);
    const [x, y] = project(comments.x[index], comments.y[index], fit());
    tip.hidden = ring.hidden = false;
    ring.style.left = `${x}px`;
    ring.style.top = `${y}px`;
    tip.style.left = `${Math.max(6, Math.min(x - tip.offsetWidth / 2, plane.clientWidth - tip.offsetWidth - 6))}px`;
    const above = y - tip.offsetHeight - 16;
    tip.style.top = `${Math.max(6, above > 0 ? above : Math.min(y + 16, plane.clientHeight - tip.offsetHeight - 6))}px`;
    return undefined;
  };

  // Arrows go to the nearest point in their direction.
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = ([dx, dy]) => {
    const frame = fit();
    const [x, y] = project(comments.x[current], comments.y[current], frame);
    let best = current;
    let least = Infinity;
    for (const index of places) {
      if (highlight >= 0 && comments.topic[index] !== highlight) continue;
      const [px, py] = project(comments.x[index], comments.y[index], frame);
      const ahead = (px - x) * dx + (py - y) * dy;
      const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (ahead > 0.5 && aside <= ahead * 1.5 && ahead + aside < least) [best, least] = [index, ahead + aside];
    }
    tell(best);
  };

  const zoom = (factor) => {
    const next = Math.max(1, Math.min(16, view.zoom * factor));
    view.x *= next / view.zoom;
    view.y *= next / view.zoom;
    view.zoom = next;
    if (next === 1) view.x = view.y = 0;
    plane.classList.toggle("near", next > 1);
    hide();
    draw();
  };

  let grip;
  let frameDue;
  const inside = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    grip = { x: event.clientX, y: event.clientY, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (grip && view.zoom > 1 && event.buttons) {
      view.x += event.clientX - grip.x;
      view.y += event.clientY - grip.y;
      grip = { x: event.clientX, y: event.clientY, moved: true };
      hide();
      frameDue ??= requestAnimationFrame(() => {
        frameDue = undefined;
        draw();
      });
    } else if (event.pointerType === "mouse") {
      const index = nearest(...inside(event));
      if (index >= 0 || event.buttons) tell(index);
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!grip?.moved) tell(nearest(...inside(event)));
    grip = undefined;
  });
  plane.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
  canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && current < 0 && places.length && tell(places[0]));
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    else if (event.key === "Enter" && current >= 0) tip.querySelector("a").click();
    else if (event.key === "+" || event.key === "=") zoom(1.6);
    else if (event.key === "-") zoom(1 / 1.6);
    else if (ARROWS[event.key] && current >= 0) step(ARROWS[event.key]);
    else return;
    event.preventDefault();
  });
  by("larger").addEventListener("click", () => zoom(1.6));
  by("smaller").addEventListener("click", () => zoom(1 / 1.6));
  by("whole").addEventListener("click", () => zoom(0));
  const legend = [...document.querySelectorAll("[data-highlight]")];
  for (const button of legend) {
    button.addEventListener("click", () => {
      const topic = place.get(button.dataset.highlight);
      highlight = highlight === topic ? -1 : topic;
      for (const one of legend) one.setAttribute("aria-pressed", String(place.get(one.dataset.highlight) === highlight));
      hide();
      draw();
    });
  }
  new ResizeObserver(() => {
    hide();
    draw();
  }).observe(plane);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());

  // The tree: all open on paper, and on the screen as the reader has it.
  const folds = [...document.querySelectorAll("details")];
  const openAll = (open) => folds.forEach((one) => { one.open = open; });
  by("open-all").addEventListener("click", () => openAll(true));
  by("close-all").addEventListener("click", () => openAll(false));
  const reveal = () => {
    const target = location.hash && by(decodeURIComponent(location.hash.slice(1)));
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  let kept;
  addEventListener("beforeprint", () => {
    kept = folds.map((one) => one.open);
    openAll(true);
    if (document.body.classList.contains("print-list")) more(MOST_PRINTED);
    if (document.body.classList.contains("print-list") && drawn < found.length) {
      by("list").append(make("li", "partial", say("printed", { comments: count("comments", drawn) })));
    }
    draw({ ink: "#000", page: "#fff" });
  });
  addEventListener("afterprint", () => {
    folds.forEach((one, index) => { one.open = kept[index]; });
    document.querySelectorAll("#list .partial").forEach((one) => one.remove());
    draw();
  });
  by("print").addEventListener("click", () => print());

  // The language.
  const speak = () => {
    root.dir = root.lang === "ar" ? "rtl" : "ltr";
    for (const one of document.querySelectorAll("[data-ar]")) {
      if (one.tagName === "OPTION") one.textContent = one.dataset[root.lang];
      else one.setAttribute("aria-label", one.dataset[root.lang]);
    }
    hide();
    filter();
  };
  by("language").addEventListener("click", () => {
    root.lang = root.lang === "ar" ? "en" : "ar";
    speak();
  });

  openAll(false);
  speak();
  draw();
  if (location.hash) reveal();
})();
