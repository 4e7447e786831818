"use strict";
// The explorer of a trace. Recorded text is somebody else's: it becomes text nodes, never markup
// (the page's policy forbids the rest), with each letter that hides or turns text round written out.
(() => {
  const $ = (id) => document.getElementById(id);
  const ROW = 32, MOST_TEXT = 20000, MORE_TEXT = 100000, PRINTED = 1000, BINS = 96, COMPARED = 2500;
  const STATES = ["ran", "asked", "denied", "failed", "open"];
  const MEANING = {
    ran: "ran", asked: "ran, a person approved", denied: "denied", failed: "failed, or nobody knows", open: "no end recorded",
  };
  const PROOF = {
    signed: ["✓", "good", "signed", "under a checkpoint that a key from outside signed"],
    consistent: ["≈", "mind", "consistent", "fits the key the log itself brings; who swapped the log swapped the key"],
    finding: ["!", "bad", "finding", "signed, and tells what must not be"],
    failed: ["✗", "bad", "FAILED", "not what was signed"],
    later: ["…", "soft", "not verified", "written after the verification, or not under a checkpoint"],
  };

  // ---- text ------------------------------------------------------------------------------
  // Controls, marks that hide or reorder, fillers that look like nothing, lone surrogates.
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff]|[\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]|[\ud800-\udfff]/gu;
  const code = (letter) => `U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  const line = (value, most = 400) => {
    const said = String(value ?? "");
    const short = said.length > most ? `${said.slice(0, most)}…` : said;
    return short.replace(/[\t\n]/g, (c) => (c === "\n" ? "⏎" : " ")).replace(HIDDEN, (c) => `⟨${code(c)}⟩`);
  };
  const spelled = (said) => {
    const out = document.createDocumentFragment();
    let at = 0;
    for (const found of said.matchAll(HIDDEN)) {
      out.append(said.slice(at, found.index), el("span", { class: "esc", title: "a letter that would not show" }, code(found[0])));
      at = found.index + found[0].length;
    }
    out.append(said.slice(at));
    return out;
  };
  function el(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      else if (key.startsWith("aria-")) node.setAttribute(key, String(value));
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }
  function svg(name, attributes = {}, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }
  // A text of any length: the beginning, and a button that gives more of it.
  function long(said, left = 0) {
    const box = el("pre", { class: "text", tabindex: 0 }), out = el("div", {}, box);
    let shown = 0;
    const button = el("button", { class: "more", on: { click: () => give(MORE_TEXT) } });
    const give = (count) => {
      box.append(spelled(said.slice(shown, shown + count)));
      shown += count;
      const rest = said.length - shown;
      if (rest > 0) button.textContent = `show ${Math.min(rest, MORE_TEXT).toLocaleString("en")} of ${rest.toLocaleString("en")} more characters`;
      else button.remove();
    };
    out.append(button);
    give(MOST_TEXT);
    if (left) out.append(el("p", { class: "notice" }, `${left.toLocaleString("en")} bytes more are in the record, and not in this page: wardline trace show --open --json`));
    return out;
  }
  const when = (micros) => new Date(micros / 1000).toISOString();
  const clock = (micros) => when(micros).slice(11, 23);
  const span = (us) => us < 1000 ? `${us} µs` : us < 1e6 ? `${(us / 1e3).toFixed(us < 1e4 ? 1 : 0)} ms` : us < 6e7 ? `${(us / 1e6).toFixed(1)} s` : us < 36e8 ? `${Math.floor(us / 6e7)} min ${Math.round((us % 6e7) / 1e6)} s` : `${(us / 36e8).toFixed(1)} h`;
  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

  // ---- data ------------------------------------------------------------------------------
  let S, entries, calls, links;
  const blocks = new Map();
  async function unpack(id) {
    const node = $(id);
    if (!node) throw new Error(`the block ${id} is not in this page`);
    const raw = Uint8Array.from(atob(node.textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }
  const parsed = new Promise((done) => {
    if (document.readyState !== "loading") done();
    else document.addEventListener("DOMContentLoaded", done);
  });
  async function block(number) {
    if (!blocks.has(number)) {
      await parsed;
      if (blocks.size > 40) blocks.delete(blocks.keys().next().value);
      blocks.set(number, unpack(`entries-${number}`));
    }
    return blocks.get(number);
  }
  const entry = async (position) => (await block(Math.floor(position / S.about.block)))[position % S.about.block];

  function read(summary) {
    S = summary;
    const { integrity, completeness } = S.report, words = S.words;
    const findings = new Map();
    for (const found of completeness.findings) findings.set(found.index, [...(findings.get(found.index) ?? []), found.text]);
    S.findings = findings;
    const proof = (index) => {
      if (integrity.failed_at !== null && index >= integrity.failed_at) return "failed";
      if (index >= integrity.size) return "later";
      return findings.has(index) ? "finding" : integrity.verdict === "failed" ? "consistent" : integrity.verdict;
    };
    const rank = ["signed", "consistent", "later", "finding", "failed"];
    entries = S.entries.type.map((type, at) => ({ at, type: S.types[type], time: S.entries.time[at], index: S.entries.index[at], proof: proof(S.entries.index[at]), call: null }));
    calls = S.calls.map(([id, run, tool, began, took, end, status, permitted, reasons, rules, asked, by, isolation, effect, label, same, at, changes], number) => {
      const call = {
        number, id, run: S.runs[run]?.id ?? "", tool: words[tool], began, took, end, status, permitted, reasons: reasons.map((w) => words[w]),
        rules: rules.map((w) => words[w]), asked, by: by.map((w) => words[w]), isolation, effect, label, same, at, changes, from: [], to: [],
      };
      call.state = end === "denied" ? "denied" : end === "gap" || (end === "ran" && status !== "ok") ? "failed" : end === "open" ? "open" : by.length ? "asked" : "ran";
      call.proof = at.reduce((worst, each) => rank.indexOf(entries[each].proof) > rank.indexOf(worst) ? entries[each].proof : worst, "signed");
      for (const each of at) entries[each].call = call;
      return call;
    });
    calls.sort((one, other) => one.at[0] - other.at[0]);
    const byNumber = new Map(calls.map((call) => [call.number, call]));
    links = S.origins.map(([to, argument, kind, trusted, from, at, pointer]) => ({ to: byNumber.get(to), argument, kind, trusted, from: byNumber.get(from) ?? null, at, pointer }));
    for (const link of links) { link.to.from.push(link); link.from?.to.push(link); }
    calls.forEach((call, position) => { call.position = position; });
  }

  // ---- small pieces ----------------------------------------------------------------------
  const badge = (name, worded = false) => {
    const [sign, tone, word, why] = PROOF[name];
    return el("span", { class: `badge ${tone}${worded ? " word" : ""}`, title: `${word}: ${why}`, "aria-label": word }, worded ? `${sign} ${word}` : sign);
  };
  const TONE = { ran: "good", asked: "mind", denied: "bad", failed: "bad", open: "soft" };
  const ending = (call) => {
    const people = call.by.length ? ` · ${call.by.join(", ")}` : call.asked ? " · asked" : "";
    return { ran: call.status ?? "ran", gap: "unknown", denied: "denied", open: "no end" }[call.end] + people;
  };
  const chip = (word, tone) => el("span", { class: `chip ${tone}`, title: line(word) }, line(word, 60));
  const tool = (call) => line(call.tool ?? "(not registered)", 80);

  function tree(value, name = null, depth = 0) {
    const key = name === null ? "" : el("span", { class: "key" }, spelled(`${line(name, 200)}: `));
    if (value !== null && typeof value === "object") {
      const members = Array.isArray(value) ? value.map((v, i) => [i, v]) : Object.entries(value);
      if (!members.length) return el("div", { class: "leaf" }, key, Array.isArray(value) ? "[]" : "{}");
      const box = el("details", depth < 2 ? { open: true } : {}, el("summary", {}, key, el("span", { class: "soft" }, Array.isArray(value) ? plural(members.length, "item") : `{${plural(members.length, "member")}}`)));
      let filled = false;
      const fill = (from = 0) => {
        for (const [k, v] of members.slice(from, from + 200)) box.append(tree(v, k, depth + 1));
        if (from + 200 < members.length) {
          const more = el("button", { class: "more", on: { click: () => { more.remove(); fill(from + 200); } } }, `${members.length - from - 200} more`);
          box.append(more);
        }
      };
      const once = () => { if (box.open && !filled) { filled = true; fill(); } };
      box.addEventListener("toggle", once);
      if (depth < 2) { filled = true; fill(); }
      return el("div", depth ? {} : { class: "tree" }, box);
    }
    if (typeof value === "string" && value.length > 300) return el("div", {}, el("div", { class: "leaf" }, key), long(value));
    const said = el("span", { class: typeof value === "string" ? "string" : "other" }, typeof value === "string" ? spelled(value) : JSON.stringify(value));
    return el("div", { class: depth ? "leaf" : "leaf tree" }, key, said);
  }
  const scalar = (value) => value === null || typeof value !== "object";
  const flat = (value) => !scalar(value) && !Array.isArray(value) && Object.keys(value).length <= 30 && Object.values(value).every((v) => scalar(v) ? String(v).length <= 300 : brief(v));
  const brief = (value) => Array.isArray(value) && value.length <= 8 && value.every((v) => scalar(v) && String(v).length <= 60);
  const plain = (value) => brief(value) ? (value.length ? value.map((v) => line(v)).join(", ") : "none") : scalar(value) ? spelled(String(value)) : flat(value) ? table(value) : tree(value);
  const table = (object) => el("table", { class: "values" }, el("tbody", {}, ...Object.entries(object).map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, line(name, 60)), el("td", {}, plain(value))))));
  const json = (content) => { try { return content?.text === undefined || content.left_out ? undefined : JSON.parse(content.text); } catch { return undefined; } };
  function content(found) {
    if (found.problem) return el("p", { class: "soft" }, line(found.problem));
    if (found.base64 !== undefined) return el("div", {}, el("p", { class: "soft" }, `${plural(found.size, "byte")}, no text; base64:`), long(found.base64, found.left_out));
    const value = json(found);
    return flat(value) ? table(value) : value !== null && typeof value === "object" ? tree(value) : long(typeof value === "string" ? value : found.text, found.left_out);
  }
  const part = (title, ...children) => el("section", { class: "part" }, el("h3", {}, title), ...children);

  // ---- the list --------------------------------------------------------------------------
  const list = $("list"), rows = $("rows");
  let view = "calls", items = [], chosen = -1, range = null, inside = null, drawn = "";
  const COLUMNS = { calls: ["", "", "time", "tool", "arguments", "outcome"], entries: ["", "index", "time", "type", "tool", "call"] };
  function row(item, position) {
    const base = { class: view === "calls" ? "row" : "row entry", role: "option", id: `row-${position}`, "aria-selected": position === chosen, on: { click: () => choose(position) } };
    let node;
    if (view === "calls") {
      node = el("div", base, badge(item.proof), el("span"), el("span", { class: "time", title: when(item.began) }, clock(item.began)),
        el("span", { class: "tool", title: tool(item) }, tool(item)), el("span", { class: "what" }, line(item.label ?? (item.same === null ? "sealed" : ""), 200)), chip(ending(item), TONE[item.state]));
    } else {
      node = el("div", base, badge(item.proof), el("span", { class: "time" }, String(item.index)), el("span", { class: "time", title: when(item.time) }, clock(item.time)), el("span", {}, line(item.type)), el("span", { class: "tool" }, item.call ? tool(item.call) : ""), el("span", { class: "what" }, item.call ? line(item.call.id) : ""));
    }
    node.style.top = `${position * ROW}px`;
    return node;
  }
  // Arrows beside the rows: from the calls that values of the chosen one came from, and to those
  // that used what it gave.
  function arcs(from, to) {
    const picture = svg("svg", { class: "arcs", width: 64, height: Math.max(0, to - from) * ROW, "aria-hidden": "true" }), call = items[chosen];
    picture.style.top = `${from * ROW}px`;
    if (view !== "calls" || !call) return picture;
    const at = new Map(), near = (call) => (at.has(call) ? at : at.set(call, items.indexOf(call))).get(call), drawn = new Set();
    const between = (one, other, trusted) => {
      const key = `${one}-${other}`;
      if (one < 0 || other < 0 || one === other || drawn.has(key) || (Math.max(one, other) < from || Math.min(one, other) >= to)) return;
      drawn.add(key);
      const clamp = (row) => (Math.max(from - 1, Math.min(to, row)) - from + 0.5) * ROW, y1 = clamp(one), y2 = clamp(other), bend = Math.min(22, 8 + Math.abs(one - other) * 2), kind = trusted ? "" : "untrusted";
      picture.append(svg("path", { class: kind, d: `M60 ${y1}C${60 - bend * 1.3} ${y1} ${60 - bend * 1.3} ${y2} 55 ${y2}` }), svg("path", { class: `tip ${kind}`, d: `M54 ${y2 - 4}l7 4-7 4z` }));
    };
    for (const link of call.from.slice(0, 100)) if (link.from) between(near(link.from), chosen, link.trusted);
    for (const link of call.to.slice(0, 100)) between(chosen, near(link.to), link.trusted);
    return picture;
  }
  function draw(force = false) {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 8), to = Math.min(items.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 8);
    const key = `${from}-${to}`;
    if (!force && key === drawn) return;
    drawn = key;
    rows.style.height = `${items.length * ROW}px`;
    rows.replaceChildren(...items.slice(from, to).map((item, at) => row(item, from + at)), arcs(from, to));
    if (chosen >= 0) list.setAttribute("aria-activedescendant", `row-${chosen}`);
    else list.removeAttribute("aria-activedescendant");
  }
  list.addEventListener("scroll", () => requestAnimationFrame(() => draw()), { passive: true });
  new ResizeObserver(() => draw(true)).observe(list);

  function choose(position, { scroll = false } = {}) {
    if (!items.length) return;
    chosen = Math.max(0, Math.min(items.length - 1, position));
    if (scroll) {
      const top = chosen * ROW, low = list.scrollTop, high = low + list.clientHeight - ROW;
      if (top < low || top > high) list.scrollTop = top < low - ROW || top > high + ROW ? top - list.clientHeight / 3 : top < low ? top : top - list.clientHeight + ROW;
    }
    draw(true);
    const item = items[chosen];
    show(item).catch((err) => $("detail").replaceChildren(el("p", { class: "notice" }, `This part cannot be shown: ${err.message}`)));
    location.replace(`#${view === "calls" ? `call=${encodeURIComponent(item.id)}` : `entry=${item.index}`}`);
  }
  function clear() {
    $("query").value = $("run").value = "";
    range = inside = null;
  }
  function go(call) {
    if (view !== "calls") turn("calls");
    let at = items.indexOf(call);
    if (at < 0) { clear(); filter(); at = items.indexOf(call); }
    choose(at, { scroll: true });
  }

  // ---- search ----------------------------------------------------------------------------
  const FIELDS = {
    tool: (c) => c.tool, end: (c) => `${c.end} ${c.status}`, by: (c) => c.by.join(" "), rule: (c) => c.rules.join(" "), reason: (c) => c.reasons.join(" "),
    run: (c) => c.run, proof: (c) => c.proof, call: (c) => c.id, effect: (c) => c.effect,
  };
  const haystack = (call) => call.hay ??= [call.tool, call.label, call.id, call.run, call.end, call.status, call.reasons.join(" "), call.rules.join(" "), call.by.join(" "), call.isolation, call.effect].join("\u0000").toLowerCase();
  function wanted(text) {
    const tests = [];
    for (const word of text.toLowerCase().split(/\s+/).filter(Boolean)) {
      const [, field, value] = /^([a-z]+):(.*)$/.exec(word) ?? [];
      const moment = field === "after" || field === "before" ? Date.parse(value.toUpperCase().includes("Z") ? value : `${value}${value.includes("t") ? "Z" : ""}`) * 1000 : NaN;
      if (!Number.isNaN(moment)) tests.push((c) => field === "after" ? c.began >= moment : c.began < moment);
      else if (field && FIELDS[field]) tests.push((c) => String(FIELDS[field](c) ?? "").toLowerCase().includes(value));
      else tests.push((c) => haystack(c).includes(word));
    }
    return (call) => tests.every((test) => test(call));
  }
  function filter() {
    const text = $("query").value, run = $("run").value, matches = wanted(text);
    const kept = (call) => (!run || call.run === run) && (!range || (call.began >= range[0] && call.began < range[1])) && (inside ? call.at.some((at) => inside.has(at)) : matches(call));
    const before = items[chosen];
    if (view === "calls") items = calls.filter(kept);
    else {
      const all = !text && !run && !range && !inside, ok = new Set(all ? [] : calls.filter(kept));
      items = all ? entries : entries.filter((e) => e.call ? ok.has(e.call) : inside?.has(e.at) || (text && !inside && e.type.includes(text.toLowerCase())));
    }
    chosen = before ? items.indexOf(before) : -1;
    const total = view === "calls" ? calls.length : entries.length;
    $("found").textContent = items.length === total ? plural(total, view === "calls" ? "call" : "entry").replace("entrys", "entries") : `${items.length.toLocaleString("en")} of ${total.toLocaleString("en")}`;
    draw(true);
    overview();
  }
  // Whether an opened content, or the body, of an entry holds a text: asked with Enter.
  async function search() {
    const text = $("query").value.trim().toLowerCase();
    if (!text) return;
    const found = new Set(), count = Math.ceil(entries.length / S.about.block), hides = (s) => s.toLowerCase().includes(text);
    for (let number = 0; number < count; number++) {
      if ($("query").value.trim().toLowerCase() !== text) return;
      $("found").textContent = `looking inside … ${Math.round((100 * number) / count)} %`;
      (await block(number)).forEach((each, at) => {
        if (hides(JSON.stringify(each.body)) || Object.values(each.contents).some((c) => c.text !== undefined && hides(c.text))) found.add(number * S.about.block + at);
      });
    }
    inside = found;
    filter();
    $("found").textContent += " inside";
  }

  // ---- calls over time -------------------------------------------------------------------
  function overview() {
    const figure = $("overview"), times = calls.map((c) => c.began);
    if (!times.length) { figure.hidden = true; return; }
    const first = times.reduce((a, b) => Math.min(a, b)), last = times.reduce((a, b) => Math.max(a, b)) + 1, width = Math.max(1, (last - first) / BINS);
    const bins = Array.from({ length: BINS }, () => Object.fromEntries(STATES.map((s) => [s, 0])));
    for (const call of view === "calls" ? items : calls) bins[Math.min(BINS - 1, Math.floor((call.began - first) / width))][call.state]++;
    const most = Math.max(1, ...bins.map((bin) => STATES.reduce((sum, s) => sum + bin[s], 0)));
    const picture = svg("svg", { viewBox: `0 0 ${BINS * 10} 48`, preserveAspectRatio: "none", role: "img", "aria-label": "how many calls when, by how they ended" });
    bins.forEach((bin, at) => {
      const from = first + at * width, on = range && from >= range[0] - 1 && from < range[1] - 1;
      const group = svg("g", { class: on ? "bin on" : "bin" }, svg("rect", { class: "hit", x: at * 10, y: 0, width: 10, height: 48 }));
      let y = 47;
      for (const state of STATES) {
        if (!bin[state]) continue;
        const height = Math.max(2, (bin[state] / most) * 42);
        y -= height;
        group.append(svg("rect", { class: `s-${state}`, x: at * 10 + 1.5, y, width: 7, height: height - 0.5, rx: 1 }));
      }
      const said = STATES.filter((s) => bin[s]).map((s) => `${bin[s]} ${MEANING[s]}`).join(", ");
      group.append(svg("title", {}, `${when(from).slice(0, 19)}  ${said || "nothing"}`));
      group.addEventListener("click", (event) => {
        range = event.shiftKey && range ? [Math.min(range[0], from), Math.max(range[1], from + width)] : on ? null : [from, from + width + 1];
        filter();
      });
      picture.append(group);
    });
    const totals = STATES.map((s) => [s, calls.filter((c) => c.state === s).length]).filter(([, n]) => n);
    figure.replaceChildren(picture, el("div", { class: "axis" }, el("span", {}, when(first).slice(0, 19).replace("T", " ")), el("span", {}, totals.map(([s, n]) => `${n.toLocaleString("en")} ${MEANING[s]}`).join("  ·  ") + (range ? "  ·  one stretch chosen: click it again for all" : "")), el("span", {}, `${when(last).slice(0, 19).replace("T", " ")} UTC`)));
  }

  // ---- details ---------------------------------------------------------------------------
  let asked = 0;
  async function show(item) {
    const mine = ++asked;
    const call = view === "calls" ? item : item.call;
    const documents = await Promise.all((view === "calls" ? item.at : [item.at]).map(entry));
    if (mine !== asked) return;
    const box = $("detail");
    box.replaceChildren(...(view === "calls" ? story(call, documents) : [el("div", { class: "head" }, el("h2", {}, line(item.type)), badge(item.proof, true), call ? el("button", { class: "link", on: { click: () => go(call) } }, `of ${tool(call)}`) : null), record(documents, true)]));
    box.scrollTop = 0;
    arrows();
  }
  function sentence(call, documents) {
    const said = [];
    const rules = call.rules.length ? ` by ${call.rules.length > 1 ? "the rules" : "the rule"} ${call.rules.map((r) => line(r, 80)).join(", ")}` : "";
    const reasons = call.reasons.length ? ` (${call.reasons.map((r) => line(r, 60)).join(", ")})` : "";
    if (call.end === "denied") said.push(`Denied${call.reasons.length ? `: ${call.reasons.map((r) => line(r, 60)).join(", ")}` : rules}.`);
    else if (call.permitted) said.push(`Allowed${rules}.`);
    else if (call.permitted === false) said.push(`Not allowed${reasons}.`);
    if (call.by.length) said.push(`${call.by.map((b) => line(b, 60)).join(" and ")} approved it.`);
    else if (call.asked) said.push("A person was asked.");
    const start = documents.find((d) => d.type === "start");
    if (start) said.push(`Ran ${start.body.isolation && start.body.isolation !== "none" ? `in a sandbox (${line(start.body.isolation)})` : "in the broker's process"}${call.took === null ? "" : ` and ended "${line(call.status)}" ${span(call.took)} after it was asked for`}.`);
    else if (call.end === "denied") said.push("Nothing ran.");
    if (call.end === "open") said.push("No end of it is recorded.");
    if (call.end === "gap") said.push("How it ended is not known.");
    if (call.changes) said.push(`Its changes were ${call.changes === "held" ? "never decided" : line(call.changes)}.`);
    return said.join(" ");
  }
  function story(call, documents) {
    const found = call.at.flatMap((at) => S.findings.get(entries[at].index) ?? []);
    const out = [
      el("div", { class: "head" }, el("h2", {}, tool(call)), badge(call.proof, true), el("code", {}, line(call.id)), el("code", {}, `run ${line(call.run)}`)),
      el("p", { class: "said" }, sentence(call, documents)),
      ...found.map((text) => el("p", { class: "notice" }, `Finding: ${line(text)}`)),
    ];
    const intent = documents.find((d) => d.type === "intent")?.contents.arguments;
    if (intent) out.push(part("Asked for", content(intent)));
    const why = documents.filter((d) => d.type === "decision").map(decision);
    if (why.length) out.push(part("Why", ...why));
    if (call.from.length || call.to.length) out.push(part("Where values came from, and went", flow(call)));
    for (const each of documents.filter((d) => d.type === "request")) out.push(part("What the approvers saw", people(each)));
    const votes = documents.flatMap((d) => Object.entries(d.contents).filter(([name]) => name.startsWith("envelope_")).map(([, c]) => vote(c)));
    const answers = documents.flatMap((d) => d.body.answers ?? []);
    if (votes.length || answers.length) out.push(part("What they answered", ...(votes.length ? votes : answers.map((a) => el("p", {}, `${line(a.approver)}: ${line(a.verdict)}`)))));
    for (const each of documents.filter((d) => d.type === "effect")) out.push(part(each.body.kind === "connection" ? "Connection" : each.body.kind === "changes" ? "Files" : "What became of the changes", effect(each)));
    const last = documents.find((d) => ["outcome", "denied"].includes(d.type));
    for (const [name, found] of Object.entries(last?.contents ?? {})) if (!name.startsWith("envelope_")) out.push(part(name === "operator" ? "For the operator" : name === "result" ? "Result" : line(name), content(found)));
    out.push(part("Record", record(documents)));
    return out;
  }
  function decision(document) {
    const context = json(document.contents.response)?.context;
    const reasons = context?.reasons ?? (document.body.reasons ?? []).map((code) => ({ code }));
    const rules = document.body.rules ?? [];
    return el("div", { class: "reason" },
      el("p", {}, chip(document.body.permitted ? "permitted" : document.body.requestable ? "not without a person" : "not permitted", document.body.permitted ? "good" : document.body.requestable ? "mind" : "bad"), ` ${line(document.body.action)}`, rules.length ? ` by ${rules.map((r) => line(r)).join(", ")}` : ""),
      ...reasons.map((reason) => {
        const { code, agent, operator, nearest, values, ...rest } = reason;
        const compared = { ...(values ?? {}), ...rest };
        return el("div", {}, el("p", {}, el("b", {}, line(code)), agent ? el("span", {}, ": ", spelled(agent)) : ""), operator ? el("p", { class: "soft" }, spelled(operator)) : null,
          Object.keys(compared).length ? table(compared) : null, nearest ? el("div", {}, el("p", { class: "soft" }, "nearest that would be allowed"), plain(nearest)) : null);
      }),
      (context?.obligations ?? []).length ? el("p", { class: "soft" }, `obligations: ${context.obligations.map((o) => line(o.type)).join(", ")}`) : null);
  }
  function people(document) {
    const shown = json(document.contents.shown);
    if (!shown) return content(document.contents.shown ?? { problem: "not kept" });
    const { arguments: given, effects, ...call } = shown.call ?? {};
    let value; try { value = JSON.parse(given); } catch { value = given; }
    const more = el("details", {}, el("summary", {}, "everything that was put to them"), tree({ ...shown, call }));
    return el("div", {}, el("p", {}, `${(call.terms?.stages ?? [document.body]).map((stage) => `${plural(stage.quorum ?? 1, "answer")} wanted from ${(stage.approvers ?? []).map((g) => line(g)).join(", ")}`).join(", then ")}, until ${when(document.body.expires_at).slice(0, 19).replace("T", " ")} UTC`), plain(value), ...(effects ? [changed(effects)] : []), more);
  }
  function vote(found) {
    try {
      const said = JSON.parse(atob(JSON.parse(found.text).payload));
      return el("p", {}, chip(said.verdict, said.verdict === "approve" ? "good" : "bad"), ` ${line(said.approver)}, ${when(said.time)}`, said.note ? el("span", {}, ": ", spelled(said.note)) : "");
    } catch { return content(found); }
  }
  function effect(document) {
    const out = el("div", {}, table(document.body));
    for (const [name, found] of Object.entries(document.contents)) {
      if (name === "diff" && found.text !== undefined) out.append(diff(found.text, found.left_out));
      else if (!name.startsWith("envelope_")) out.append(el("details", {}, el("summary", {}, line(name)), content(found)));
    }
    return out;
  }
  const changed = (effects) => typeof effects?.diff === "string" ? diff(effects.diff) : tree(effects);
  function diff(said, left = 0) {
    const all = said.split("\n"), box = el("div", { class: "diff", tabindex: 0, role: "region", "aria-label": "diff" });
    let at = 0;
    const more = el("button", { class: "more", on: { click: () => give() } });
    const give = () => {
      for (const each of all.slice(at, at + 500)) box.append(el("div", { class: /^(\+\+\+|---|@@)/.test(each) ? "at" : each.startsWith("+") ? "plus" : each.startsWith("-") ? "minus" : "" }, spelled(each.slice(0, 4000) + (each.length > 4000 ? `… ${each.length - 4000} more characters` : ""))));
      at += 500;
      if (at < all.length) more.textContent = `${all.length - at} more lines`; else more.remove();
    };
    give();
    return el("div", {}, box, at < all.length ? more : null, left ? el("p", { class: "notice" }, `${left} bytes more are in the record`) : null);
  }
  // Three columns with arrows: sources, this call's arguments, calls that used what it gave.
  const SOURCE = { user: "the person", plan: "the approved plan", approval: "approved by a person", default: "the tool's default", unknown: "nobody knows", tool: "an earlier output" };
  function flow(call) {
    const box = el("div", { class: "flow" }), names = { left: el("div", {}, el("h4", {}, "came from")), middle: el("div", {}, el("h4", {}, "this call")), right: el("div", {}, el("h4", {}, "went to")) };
    const pairs = [], sources = new Map(), targets = new Map();
    for (const link of call.from.slice(0, 60)) {
      const key = link.from ? link.from.id : link.kind;
      if (!sources.has(key)) {
        const words = link.from ? [tool(link.from), `${clock(link.from.began)} ${line(link.from.label, 80)}`] : [SOURCE[link.kind] ?? line(link.kind), link.kind === "tool" ? "of a call that is not in this page" : ""];
        const node = el(link.from ? "button" : "div", { class: "node", on: link.from ? { click: () => go(link.from) } : {} }, words[0], el("small", {}, words[1]));
        sources.set(key, node);
        names.left.append(node);
      }
      const node = el("div", { class: link.trusted ? "node" : "node untrusted" }, line(link.argument, 80), el("small", {}, `${link.trusted ? "trusted" : "UNTRUSTED"}${link.pointer ? `, out of ${line(link.pointer, 80)}` : link.from && link.pointer === "" ? ", the whole output" : ""}`));
      names.middle.append(node);
      pairs.push([sources.get(key), node, link.trusted]);
    }
    if (!call.from.length) names.middle.append(el("div", { class: "node" }, tool(call)));
    const out = el("div", { class: "node" }, "its output"), used = call.to.slice(0, 200);
    if (used.length) names.middle.append(out);
    for (const link of used) {
      if (!targets.has(link.to)) {
        const node = el("button", { class: "node", on: { click: () => go(link.to) } }, tool(link.to), el("small", {}, `${clock(link.to.began)} ${ending(link.to)}, as ${line(link.argument, 40)}`));
        targets.set(link.to, node);
        names.right.append(node);
        pairs.push([out, node, link.trusted]);
      }
    }
    if (call.from.length > 60 || call.to.length > 200) box.append(el("p", { class: "notice" }, `${call.from.length} values came in and ${call.to.length} went out; the first are drawn`));
    if (used.length) box.append(names.left, names.middle, names.right);
    else { box.append(names.left, names.middle); box.classList.add("ends"); }
    box.pairs = pairs;
    return box;
  }
  function arrows() {
    for (const box of document.querySelectorAll(".flow")) {
      box.querySelector(":scope > svg")?.remove();
      const origin = box.getBoundingClientRect(), picture = svg("svg", { "aria-hidden": "true" });
      for (const [from, to, trusted] of box.pairs ?? []) {
        const a = from.getBoundingClientRect(), b = to.getBoundingClientRect();
        const x1 = a.right - origin.left + 2, y1 = a.top + a.height / 2 - origin.top, x2 = b.left - origin.left - 9, y2 = b.top + b.height / 2 - origin.top, bend = (x2 - x1) / 2;
        const kind = trusted ? "" : " untrusted";
        picture.append(svg("path", { class: kind.trim(), d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` }), svg("path", { class: `tip${kind}`, d: `M${x2} ${y2 - 4.5}l8 4.5-8 4.5z` }));
      }
      box.append(picture);
    }
  }
  new ResizeObserver(arrows).observe($("detail"));
  function record(documents, open = false) {
    const first = documents[0]?.time ?? 0;
    return el("ol", { class: "steps" }, ...documents.map((each) => el("li", {},
      el("b", {}, line(each.type)), el("span", { class: "when" }, `${each.time === first ? clock(each.time) : `+${span(each.time - first)}`}  entry ${each.index}`),
      el("div", { class: "leafhash" }, `leaf ${each.leaf}`),
      Object.keys(each.body).length ? el("details", { open }, el("summary", { class: "soft" }, "body"), plain(each.body)) : null,
      ...Object.entries(each.contents).map(([name, found]) => el("details", { open }, el("summary", { class: "soft" }, `${line(name)}${found.problem ? ` — ${line(found.problem, 80)}` : found.size === undefined ? "" : `, ${plural(found.size, "byte")}`}`), content(found), el("div", { class: "leafhash" }, `SHA-256 of its sealed line ${line(found.digest)}`))))));
  }

  // ---- two runs --------------------------------------------------------------------------
  function compare() {
    const box = $("compare"), option = (run) => el("option", { value: run.id }, line(`${run.id}  ${run.began ? when(run.began).slice(0, 16) : ""}`, 70));
    if (box.childElementCount) return;
    const one = el("select", { "aria-label": "one run" }, ...S.runs.map(option)), other = el("select", { "aria-label": "the other run" }, ...S.runs.map(option)), out = el("div", {});
    if (S.runs.length > 1) other.selectedIndex = 1;
    const only = el("input", { type: "checkbox", id: "only" });
    const draw = () => out.replaceChildren(...versus(one.value, other.value, only.checked));
    for (const each of [one, other, only]) each.addEventListener("change", draw);
    box.append(el("div", { class: "pick" }, one, "beside", other, el("label", {}, only, " differences only")), out);
    draw();
  }
  function versus(one, other, only) {
    const of = (run) => calls.filter((c) => c.run === run), [left, right] = [of(one).slice(0, COMPARED), of(other).slice(0, COMPARED)];
    const sealed = [...left, ...right].some((c) => c.same === null);
    const alike = (a, b) => a.tool === b.tool && (a.same === null || b.same === null || a.same === b.same ? 3 : 2) || 0;
    // The alignment with the greatest sum: same tool and arguments 3, same tool 2.
    const width = right.length + 1, best = new Uint16Array((left.length + 1) * width);
    for (let i = left.length - 1; i >= 0; i--) for (let j = right.length - 1; j >= 0; j--) {
      const score = alike(left[i], right[j]);
      best[i * width + j] = Math.max(best[(i + 1) * width + j], best[i * width + j + 1], score ? score + best[(i + 1) * width + j + 1] : 0);
    }
    const pairs = [];
    for (let i = 0, j = 0; i < left.length || j < right.length;) {
      const score = i < left.length && j < right.length ? alike(left[i], right[j]) : 0;
      if (score && best[i * width + j] === score + best[(i + 1) * width + j + 1]) pairs.push([left[i++], right[j++]]);
      else if (j >= right.length || (i < left.length && best[(i + 1) * width + j] >= best[i * width + j + 1])) pairs.push([left[i++], null]);
      else pairs.push([null, right[j++]]);
    }
    const same = (a, b) => a && b ? [a.same === b.same ? "" : "arguments", a.permitted === b.permitted && a.end === b.end && a.status === b.status ? "" : "end", a.rules.join() === b.rules.join() && a.reasons.join() === b.reasons.join() ? "" : "rules", a.by.join() === b.by.join() ? "" : "people"].filter(Boolean) : ["only in one"];
    const judged = pairs.map(([a, b]) => [a, b, same(a, b)]), different = judged.filter(([, , d]) => d.length).length;
    const cell = (call) => call ? el("td", {}, el("button", { class: "link", on: { click: () => go(call) } }, tool(call)), " ", chip(ending(call), TONE[call.state]), call.by.length ? ` by ${line(call.by.join(", "))}` : "", el("code", {}, line(call.label ?? "", 200))) : el("td", { class: "soft" }, "—");
    const head = (run) => { const found = S.runs.find((r) => r.id === run); return el("th", {}, line(found?.prompt ?? run, 120)); };
    const listed = judged.filter(([, , d]) => !only || d.length);
    return [
      el("p", {}, one === other ? "This is one run beside itself." : `${plural(judged.length, "row")}, ${different} of them different.`, sealed ? " Arguments are sealed in this page, so only tools, decisions and ends are compared." : ""),
      of(one).length > COMPARED || of(other).length > COMPARED ? el("p", { class: "notice" }, `Only the first ${COMPARED} calls of each run are compared.`) : "",
      el("table", { class: "versus" }, el("thead", {}, el("tr", {}, el("td", {}), head(one), head(other))), el("tbody", {}, ...listed.slice(0, COMPARED).map(([a, b, d]) => el("tr", { class: !d.length ? "" : a && b ? "differs" : "alone" }, el("td", {}, d.length ? `≠ ${d.join(", ")}` : "= same"), cell(a), cell(b))))),
    ];
  }

  // ---- proof -----------------------------------------------------------------------------
  function verdicts() {
    const { integrity, completeness, anchoring } = S.report, anchor = completeness.anchor;
    const card = (tone, title, said, small) => el("div", { class: `verdict ${tone}` }, title, " ", el("b", {}, said), el("small", { title: line(small) }, line(small)));
    $("verdicts").append(
      card({ signed: "good", consistent: "mind", failed: "bad" }[integrity.verdict], "Integrity", integrity.verdict === "failed" ? `✗ FAILED at entry ${integrity.failed_at}` : integrity.verdict === "signed" ? "✓ signed" : "≈ consistent", integrity.reason ?? `${plural(integrity.size, "entry").replace("entrys", "entries")} under ${plural(integrity.checkpoints, "checkpoint")}`),
      card(anchor ? "good" : "mind", "Anchoring", anchor ? "✓ anchored" : "… not anchored", anchor ? `a checkpoint kept outside goes to entry ${anchor.size}` : "a cut at a checkpoint would not show"),
      card(completeness.findings_count ? "bad" : completeness.whole ? "good" : "mind", "Completeness", completeness.findings_count ? `! ${plural(completeness.findings_count, "finding")}` : completeness.whole ? "✓ whole" : "… not whole", completeness.whole ? "closed; nothing open, lost or found" : [completeness.closed ? "" : "not closed", completeness.open_calls.length ? `${plural(completeness.open_calls.length, "call")} without an end` : "", completeness.gaps ? plural(completeness.gaps, "gap") : "", completeness.contents.absent ? `${completeness.contents.absent} contents absent` : ""].filter(Boolean).join(", ")));
  }
  function proof() {
    const { integrity, completeness, checkpoint } = S.report, about = S.about;
    const legend = el("table", {}, el("tbody", {}, ...Object.values(PROOF).map(([sign, tone, word, why]) => el("tr", {}, el("td", { class: tone }, `${sign} ${word}`), el("td", {}, why)))));
    const box = $("proof");
    if (box.childElementCount) return;
    box.append(
      el("p", { class: "notice" }, "This page is a picture, and proves nothing by itself: who can edit it can make it say anything. It says what ", el("code", {}, "wardline trace verify"), ` said at ${line(about.made)}. What proves is the log: verify it again, with a key and a checkpoint that were kept elsewhere. The leaf hash beside each entry is the one in the log's tree.`),
      about.broken ? el("p", { class: "notice" }, `The log can be read no further: ${line(about.broken)}`) : "",
      el("h2", {}, "What it was verified with"), plain({ key: about.key_source, build: about.build, contents: about.opened ? "opened for this page" : "left sealed", ...(about.runs?.length ? { "only runs": about.runs } : {}) }),
      el("h2", {}, "The last checkpoint"), checkpoint ? long(checkpoint) : el("p", {}, "none"),
      el("h2", {}, "The signs"), legend, el("h2", {}, "Integrity"), table(integrity), el("h2", {}, "Completeness"), table(completeness));
  }

  // ---- the whole -------------------------------------------------------------------------
  function turn(to) {
    for (const tab of document.querySelectorAll("[role=tab]")) tab.setAttribute("aria-selected", tab.dataset.view === to);
    $("browse").hidden = !["calls", "entries"].includes(to);
    $("compare").hidden = to !== "compare";
    $("proof").hidden = to !== "proof";
    if (to === "compare") compare();
    else if (to === "proof") proof();
    else {
      const call = items[chosen] && (view === "calls" ? items[chosen] : items[chosen].call), changed = view !== to;
      view = to;
      $("columns").className = to === "calls" ? "" : "entry";
      $("columns").replaceChildren(...COLUMNS[to].map((word) => el("span", {}, word)));
      if (changed) { chosen = -1; list.scrollTop = 0; }
      filter();
      if (changed && call) choose(to === "calls" ? items.indexOf(call) : items.findIndex((e) => e.call === call), { scroll: true });
    }
  }
  function keys(event) {
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName), page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    if (typing) {
      if (event.key === "Escape") list.focus();
      else if (event.key === "Enter" && event.target.id === "query") search();
      return;
    }
    const move = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    const inDetail = $("detail").contains(event.target), call = view === "calls" ? items[chosen] : null;
    if (move !== undefined && !(inDetail && !["j", "k"].includes(event.key)) && !$("browse").hidden) { choose(chosen < 0 ? (move > 0 && move !== Infinity ? 0 : move === Infinity ? items.length - 1 : 0) : chosen + move, { scroll: true }); event.preventDefault(); }
    else if (event.key === "/") { $("query").focus(); $("query").select(); event.preventDefault(); }
    else if (event.key === "Enter" && event.target === list) $("detail").focus();
    else if (event.key === "Escape") list.focus();
    else if (event.key === "[" && call?.from.some((l) => l.from)) go(call.from.find((l) => l.from).from);
    else if (event.key === "]" && call?.to.length) go(call.to[0].to);
    else if (event.key === "?") $("help").showModal();
    else if ("1234".includes(event.key)) turn(["calls", "entries", "compare", "proof"][event.key - 1]);
  }
  // A printed page has no scroll bar: rows are put one below the other, as many as are sensible.
  addEventListener("beforeprint", () => {
    rows.replaceChildren(...items.slice(0, PRINTED).map(row), ...(items.length > PRINTED ? [el("p", {}, `${items.length - PRINTED} more are not printed`)] : []));
    for (const each of $("detail").querySelectorAll(".steps details")) each.dataset.was = each.open;
  });
  addEventListener("afterprint", () => draw(true));

  // What an address names: `#call=ID` or `#entry=INDEX`.
  function follow() {
    const [, kind, named] = /^#(call|entry)=(.+)$/.exec(location.hash) ?? [];
    const current = items[chosen];
    if (kind === "call") {
      const call = calls.find((each) => each.id === decodeURIComponent(named));
      if (call && call !== current) go(call);
      return Boolean(call);
    }
    const at = kind ? entries.findIndex((each) => each.index === Number(named)) : -1;
    if (at >= 0 && entries[at] !== current) {
      if (view !== "entries" || items.length !== entries.length) { clear(); turn("entries"); }
      choose(at, { scroll: true });
    }
    return at >= 0;
  }
  async function begin() {
    read(await unpack("summary"));
    $("origin").textContent = line(S.report.integrity.origin);
    verdicts();
    for (const run of S.runs) $("run").append(el("option", { value: run.id }, line(`${run.id}${run.prompt ? ` — ${run.prompt}` : ""}`, 60)));
    for (const tab of document.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => turn(tab.dataset.view));
    $("help-open").addEventListener("click", () => $("help").showModal());
    $("query").addEventListener("input", () => { inside = null; filter(); });
    $("run").addEventListener("change", filter);
    document.addEventListener("keydown", keys);
    turn(calls.length && !location.hash.startsWith("#entry=") ? "calls" : "entries");
    if (!follow() && items.length) choose(Math.max(0, items.findIndex((item) => ["denied", "failed"].includes(item.state))), { scroll: true });
    addEventListener("hashchange", follow);
    list.focus({ preventScroll: true });
    requestAnimationFrame(() => setTimeout(() => { document.documentElement.dataset.painted = Math.round(performance.now()); }));
  }
  begin().catch((err) => $("detail").replaceChildren(el("p", { class: "notice" }, `This page cannot show its data: ${err.message}. It needs a browser of 2023 or newer.`)));
})();
