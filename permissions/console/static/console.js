"use strict";
// Live parts and what is done in them, keys, passkeys. Every page reads the same without it.
(() => {
  const at = document.body.dataset.at;
  const one = (selector, inside = document) => inside.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];

  // --- live: the server says that something changed, htmx fetches what is shown anew ------------
  let stream = null;
  const say = (words) => { const line = one("#live"); line.textContent = words; line.hidden = !words; };
  const listen = () => {
    const address = document.body.dataset.events;
    if (!address || stream || document.hidden) return;
    stream = new EventSource(address);
    stream.addEventListener("changed", () => window.htmx && window.htmx.trigger(document.body, "changed"));
    stream.addEventListener("over", () => { stream.close(); location.reload(); });
    stream.onopen = () => say("");
    stream.onerror = () => say("Not live: the broker does not answer. Trying again.");
  };
  // A hidden tab holds no connection; what it missed it fetches when it is looked at again.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { if (stream) { stream.close(); stream = null; } } else { listen(); if (window.htmx) window.htmx.trigger(document.body, "changed"); }
  });

  // --- a part that is fetched anew: what somebody does in it stays -------------------------------
  // Compared as the server gave them, without what this page writes into them.
  const bare = (part) => {
    const copy = part.cloneNode(true);
    for (const each of copy.querySelectorAll("time[data-until]")) { each.textContent = ""; each.removeAttribute("class"); }
    return copy.outerHTML;
  };
  const served = new Map(all("[hx-get]").map((part) => [part.id, bare(part)]));
  // What would be signed never outgrows what stands here to be read.
  const outgrows = (part) => {
    const read = all("[data-shown]").map((each) => each.dataset.shown);
    const signed = [...part.querySelectorAll("[name=shown]")].flatMap((field) => field.value.split(","));
    return signed.some((each) => !read.includes(each.trim().split(" ").pop()));
  };
  const KEPT = "input:not([type=hidden]), select, textarea, details, [data-problem]";
  const key = (field) => [field.closest("form")?.dataset.finish, field.closest("details")?.id, field.localName, field.id, field.name, field.getAttribute("value"), field.getAttribute("href")].join(" ");
  // Does to another such field what was done to this one; nothing for one that nobody touched.
  const touch = (field) => {
    if (field.matches("[data-problem]")) { const words = field.textContent; return field.hidden ? null : (other) => { other.textContent = words; other.hidden = false; }; }
    if (field.localName === "details") return field.open ? (other) => { other.open = true; } : null;
    if (field.type === "checkbox") { const is = field.checked; return is === field.defaultChecked ? null : (other) => { other.checked = is; }; }
    const value = field.value;
    const first = field.localName === "select" ? ([...field.options].find((each) => each.defaultSelected) || field.options[0])?.value : field.defaultValue;
    return value === first ? null : (other) => { other.value = value; };
  };
  const focus = (field) => {
    const { selectionStart, selectionEnd } = field;  // of a textarea; others have no caret
    return (other) => { other.focus({ preventScroll: true }); if (field.localName === "textarea") other.setSelectionRange(selectionStart, selectionEnd); };
  };
  let touched = [], seen = new Set();
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target: old, xhr, serverResponse } = event.detail;
    if (xhr.status === 401) location.reload();
    if (!event.detail.shouldSwap) return;
    const part = new DOMParser().parseFromString(serverResponse, "text/html").getElementById(old.id);
    event.detail.shouldSwap = false;
    if (old.querySelector("[data-busy]")) return;
    if (!part) {
      old.replaceChildren(Object.assign(document.createElement("p"), { className: "note", textContent: "This is no part of the page any more. Load it anew to see what became of it." }));
      served.delete(old.id);
      return;
    }
    if (outgrows(part)) { say("More has come than stands here. Load the page anew to answer it as well."); return; }
    const now = bare(part);
    if (now === served.get(old.id)) return;
    event.detail.shouldSwap = true;
    served.set(old.id, now);
    seen = new Set([...seen, ...all("[data-rows] > li").map((row) => row.id)]);
    touched = [...old.querySelectorAll(KEPT)].map((field) => [key(field), touch(field)]).filter(([, again]) => again);
    if (old.contains(document.activeElement)) touched.push([key(document.activeElement), focus(document.activeElement)]);
  });
  document.addEventListener("htmx:afterSwap", () => {
    const fields = new Map(all(`${KEPT}, button, a, summary`).map((field) => [key(field), field]));
    for (const [which, again] of touched) if (fields.has(which)) again(fields.get(which));
    touched = [];
    if (seen.size) for (const row of all("[data-rows] > li")) if (!seen.has(row.id)) row.classList.add("fresh");
    select(chosen, false);
    tick();
  });

  // --- time left ----------------------------------------------------------------------------------
  const tick = () => {
    for (const each of all("time[data-until]")) {
      const left = Math.floor(Number(each.dataset.until) / 1e6 - Date.now() / 1000);
      const [days, hours, minutes] = [Math.floor(left / 86400), Math.floor(left / 3600) % 24, Math.floor(left / 60) % 60];
      each.textContent = left <= 0 ? "over" : days ? `in ${days} d ${hours} h` : hours ? `in ${hours} h ${minutes} min` : minutes ? `in ${minutes} min` : `in ${left} s`;
      each.classList.toggle("soon", left < 120);
    }
  };
  setInterval(tick, 5000);

  // --- keys -----------------------------------------------------------------------------------------
  let chosen = null, leader = false;
  const rows = () => all("[data-rows] > li");
  const select = (id, scroll) => {
    for (const row of rows()) {
      const is = row.id === id;
      row.classList.toggle("at", is);
      if (is && scroll) { row.scrollIntoView({ block: "nearest" }); one("a", row).focus({ preventScroll: true }); }
    }
  };
  const step = (by) => {
    const listed = rows();
    if (!listed.length) { const link = one(by > 0 ? "[data-after]" : "[data-before]"); if (link) link.click(); return; }
    const now = listed.findIndex((row) => row.id === chosen);
    const next = listed[Math.min(Math.max(now + by, 0), listed.length - 1)];
    chosen = next.id;
    select(chosen, true);
  };
  const follow = (selector) => { const link = one(selector); if (link) link.click(); };
  const actions = {
    j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
    o: () => { const row = rows().find((each) => each.id === chosen); if (row) one("a", row).click(); },
    u: () => follow("[data-up]"), w: () => follow("[data-whole]"),
    a: () => { const button = one("[data-approve]"); if (button) { button.scrollIntoView({ block: "nearest" }); button.focus(); } },
    d: () => { const note = one("textarea[name=note]"); if (note) note.focus(); },
    "?": () => { const keys = one("#keys"); if (keys && !keys.open) keys.showModal(); },
    g: () => { leader = true; setTimeout(() => { leader = false; }, 1500); },
  };
  const pages = { i: "/inbox", r: "/runs", p: "/policies", s: "/stop" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && event.target.matches("input, textarea, select")) { event.target.blur(); return; }
    if (event.target.matches("input, textarea, select") || one("dialog[open]")) return;
    if (leader && pages[event.key]) { leader = false; follow(`.top nav a[href="${at}${pages[event.key]}"]`); event.preventDefault(); return; }
    const arrow = event.key.startsWith("Arrow");
    if (arrow && !rows().length) return;
    if (actions[event.key]) { actions[event.key](); event.preventDefault(); }
  });

  // --- passkeys ---------------------------------------------------------------------------------------
  const post = async (address, fields) => {
    const answer = await fetch(address, { method: "POST", body: new URLSearchParams(fields), credentials: "same-origin", headers: { Accept: "application/json" } });
    const said = await answer.json().catch(() => ({ detail: "The broker gave no answer that can be read." }));
    if (!answer.ok) throw Object.assign(new Error(said.detail || "It was refused."), { status: answer.status });
    return said;
  };
  const flows = {
    "sign-in": async (options) => navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }),
    vote: async (options) => navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }),
    enrol: async (options) => navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) }),
  };
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const flow = form.dataset.passkey;
    if (!flow) return;
    event.preventDefault();
    const problem = one("[data-problem]", form);
    const fields = Object.fromEntries(new FormData(form, event.submitter));
    const buttons = [...form.querySelectorAll("button")];
    problem.hidden = true;
    if (fields.verdict === "deny" && !fields.note.trim()) {
      problem.textContent = "Say why: the agent hears it, and may do better."; problem.hidden = false; one("textarea", form).focus(); return;
    }
    if (!window.PublicKeyCredential) { problem.textContent = "This browser has no passkeys here; it takes https, or localhost."; problem.hidden = false; return; }
    for (const button of buttons) button.disabled = true;
    form.dataset.busy = "";  // the part that it stands in waits
    const over = () => { delete form.dataset.busy; for (const button of buttons) button.disabled = false; window.htmx?.trigger(document.body, "changed"); };
    try {
      const begun = await post(form.dataset.begin, fields);
      const credential = await flows[flow](begun.options);
      const done = await post(form.dataset.finish, { ...fields, state: begun.state, credential: JSON.stringify(credential.toJSON()) });
      if (done.options) {  // the vote is cast, and a second statement is to be signed
        const remember = async () => {
          try {
            const second = await flows[flow](done.options);
            await post(done.finish, { token: fields.token, state: done.state, credential: JSON.stringify(second.toJSON()) });
            location.assign(done.next);
          } catch (error) {
            // The vote stands; what is to be remembered is the same statement, signed again.
            say(`Approved, and not remembered: ${error.name === "NotAllowedError" ? "no passkey was used." : error.message} `);
            const again = document.createElement("button");
            again.type = "button"; again.textContent = "Sign it again"; again.dataset.again = "";
            again.addEventListener("click", () => { say(""); remember(); });
            one("#live").append(again);
            over();
          }
        };
        await remember();
        return;
      }
      location.assign(done.next);
    } catch (error) {
      problem.textContent = error.name === "NotAllowedError" ? "No passkey was used. Nothing was sent." : error.message;
      problem.hidden = false;
      if (error.status === 409) say(error.message);  // also where the form is gone then
      over();
    }
  });

  tick();
  listen();
})();
