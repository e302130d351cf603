// <job-status job=ID token=T src=/jobs label="Your photo">fallback</job-status>: a job, live.
// A module without imports, served as it is: no build step, nothing that a strict content security policy forbids.

const LONGEST = 6000; // characters of tokens in an address: proxies refuse 8 KiB. Jobs that do not fit are polled.
const UNHEARD = 3000; // ms without the stream's first word of a job until it is polled: a proxy may hold streams back
const CHECKED = 120_000; // ms between polls beside a stream that works: a connection can die without an error
const LATEST = 300_000; // ms
const TEXTS = {
  result: "See the result",
  cancel: "Cancel",
  cancelling: "Cancelling",
  failed: "It could not be cancelled. Please try again.",
  lost: "This job cannot be shown any more.",
};

// The jobs of this page on one server. They share a stream: over HTTP/1.1 a browser has six connections for all its tabs.
class Feed {
  static #all = new Map();
  static of(src) {
    if (!this.#all.has(src)) this.#all.set(src, new Feed(src));
    return this.#all.get(src);
  }

  #watches = new Set(); // {job, token, show, lose} of jobs that have not ended; and of ours: fed, timer, tries, etag
  #source = null;
  #asked = []; // the tokens of the stream
  #failures = 0; // of the stream, in a row: without news in between
  #resting; // the timer of its next try
  #soon;

  constructor(src) {
    this.src = src;
    document.addEventListener("visibilitychange", () => this.#settle());
  }

  join(watch) {
    this.#watches.add(watch);
    this.#settleSoon();
  }

  leave(watch) {
    clearTimeout(watch.timer);
    this.#watches.delete(watch);
    this.#settleSoon();
  }

  // Many elements may come and go at once.
  #settleSoon() {
    this.#soon ??= setTimeout(() => {
      this.#soon = null;
      this.#settle();
    }, 20);
  }

  // Whatever happened: have the stream that the present jobs need; none without jobs, nor while nobody looks.
  #settle() {
    if (document.hidden || !this.#watches.size) {
      this.#close();
      for (const watch of this.#watches) watch.timer = clearTimeout(watch.timer);
      return;
    }
    const tokens = this.#tokens();
    if (!this.#resting && !(this.#source && tokens.every((token) => this.#asked.includes(token)))) this.#open(tokens);
    for (const watch of this.#watches) if (!watch.timer) this.#pollIn(UNHEARD, watch);
  }

  #tokens() {
    let length = 0;
    const tokens = new Set([...this.#watches].map((watch) => encodeURIComponent(watch.token)));
    return [...tokens].filter((token) => (length += token.length + 7) < LONGEST);
  }

  #open(tokens) {
    this.#close();
    this.#asked = tokens;
    const source = (this.#source = new EventSource(`${this.src}/events?token=${tokens.join("&token=")}`));
    source.addEventListener("job", (event) => {
      this.#failures = 0;
      const job = JSON.parse(event.data);
      for (const watch of this.#watches) {
        if (watch.job !== job.id) continue;
        watch.fed = true;
        this.#pollIn(CHECKED, watch);
        watch.show(job);
      }
    });
    source.addEventListener("bye", () => this.#rest(300 + Math.random() * 2000)); // the server restarts
    source.addEventListener("end", () => this.#rest(15_000)); // of these jobs; others may not have fitted
    source.onerror = () => {
      // Closed means refused. After any other error the browser connects again by itself.
      if (++this.#failures > 2 || source.readyState === EventSource.CLOSED)
        this.#rest(Math.min(7500 * 2 ** this.#failures, LATEST), 300);
      else this.#starve(UNHEARD);
    };
  }

  #close() {
    clearTimeout(this.#resting);
    this.#resting = null;
    this.#source?.close();
    this.#source = null;
  }

  #rest(ms, poll = UNHEARD) {
    this.#close();
    this.#starve(poll);
    this.#resting = setTimeout(() => {
      this.#resting = null;
      this.#settle();
    }, jittered(ms));
  }

  #starve(poll) {
    for (const watch of this.#watches) {
      watch.fed = false;
      this.#pollIn(poll, watch);
    }
  }

  #pollIn(ms, watch) {
    clearTimeout(watch.timer);
    const left = (watch.notBefore ?? 0) - performance.now(); // what a server in need has asked for
    watch.timer = setTimeout(() => this.#poll(watch), Math.max(jittered(ms), left));
  }

  async #poll(watch) {
    watch.tries = (watch.tries ?? 0) + 1;
    let pause = 1000 * 2 ** watch.tries;
    try {
      const headers = { accept: "application/json", ...(watch.etag && { "if-none-match": watch.etag }) };
      const place = `${this.src}/${encodeURIComponent(watch.job)}?token=${encodeURIComponent(watch.token)}`;
      const answer = await fetch(place, { headers, cache: "no-store", signal: AbortSignal.timeout(30_000) });
      const job = answer.ok && (await answer.json());
      if (!this.#watches.has(watch)) return;
      if (answer.status === 404) return watch.lose();
      const asked = answer.headers.get("retry-after") * 1000 || 0;
      if (job || answer.status === 304) {
        watch.tries = 0;
        pause = asked || 2000;
      }
      pause = Math.max(asked, pause);
      watch.notBefore = performance.now() + Math.min(asked, LATEST);
      if (job) watch.etag = answer.headers.get("etag");
      if (job && watch.show(job)) watch.fed = false; // the stream, if there is one, is deaf
      else if (watch.fed) pause = CHECKED;
    } catch {} // the network is away, or something else answered in the server's place
    if (this.#watches.has(watch) && !document.hidden) this.#pollIn(Math.min(pause, LATEST), watch);
  }
}

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host { display: block; }
:host([hidden]), [hidden] { display: none !important; }
[part=box] {
  --accent: var(--job-status-accent, light-dark(#14532d, #6ee7a8));
  --track: var(--job-status-track, light-dark(#d9d5ca, #3a474c));
  --bad: var(--job-status-bad, light-dark(#a11b1b, #ff9c93));
  display: grid; gap: var(--job-status-gap, .5rem); overflow-wrap: anywhere;
}
p { margin: 0; }
[part=label], a { font-weight: 600; }
[part=error] { color: var(--bad); }
[part=words]::before { font-weight: 700; }
:host([state=succeeded]) [part=words]::before { content: "✓ " / ""; color: var(--accent); }
:host(:is([state=dead], [state=lost])) [part=words]::before { content: "! " / ""; color: var(--bad); }
[part=actions] { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
a { color: var(--accent); padding-block: .25rem; }
button {
  font: inherit; color: inherit; background: none; border: 1px solid; min-block-size: 2rem; padding: .25rem .875rem;
  border-radius: var(--job-status-radius, .5rem); cursor: pointer;
}
[aria-disabled=true] { border-style: dashed; cursor: default; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
progress {
  appearance: none; inline-size: 100%; block-size: var(--job-status-height, .625rem); overflow: hidden;
  border: 0; border-radius: 99px; background: var(--track);
}
progress::-webkit-progress-bar { background: none; }
progress::-webkit-progress-value { background: var(--accent); transition: inline-size .25s; }
progress::-moz-progress-bar { background: var(--accent); }
progress:indeterminate {
  background: linear-gradient(90deg, var(--track) 35%, color-mix(in srgb, var(--accent) 60%, var(--track)), var(--track) 65%) 50% / 300%;
  animation: drift 2.4s linear infinite;
}
progress:indeterminate::-moz-progress-bar { background: none; }
@keyframes drift { from { background-position: 100%; } to { background-position: 0; } }
@media (prefers-reduced-motion: reduce) { *, ::-webkit-progress-value { animation: none !important; transition: none !important; } }
@media (forced-colors: active) {
  progress { --accent: Highlight; --track: Canvas; border: 1px solid CanvasText; forced-color-adjust: none; }
}
[role=status] { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); }
`);

class JobStatus extends HTMLElement {
  static observedAttributes = ["job", "token", "src", "label"];

  #latest = null;
  #feed;
  #watch;
  #cancelling = false; // asked for; the server has perhaps not said so yet
  #problem; // of a cancel
  #saidAt;
  #saidPart;
  #later;
  #label = make("span", { part: "label", id: "label" });
  #bar = make("progress", { part: "bar", "aria-labelledby": "label" });
  #words = make("p", { part: "words" });
  #error = make("p", { part: "error" });
  #result = make("a", { part: "result", "aria-describedby": "label" });
  #cancel = make("button", { part: "cancel", type: "button", "aria-describedby": "label" });
  #actions = make("p", { part: "actions" }, this.#result, this.#cancel);
  #box = make("div", { part: "box" }, this.#label, this.#bar, this.#words, this.#error, this.#actions);
  #said = make("p", { role: "status" }); // apart from the words: they change too often to be read aloud
  #fallback = make("slot"); // until there is something to show

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(this.#fallback, this.#box, this.#said);
    this.#cancel.onclick = () => this.#askToCancel();
    this.#forget();
  }

  // The document that is shown, or null.
  get latest() {
    return this.#latest;
  }

  connectedCallback() {
    this.#follow();
  }

  disconnectedCallback() {
    this.#leave();
    clearTimeout(this.#later);
  }

  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === "label") return this.#draw();
    if (name === "job") this.#forget();
    if (this.isConnected) this.#follow();
  }

  #forget() {
    this.#latest = null;
    this.#cancelling = false;
    this.#problem = null;
    this.#saidAt = -Infinity;
    clearTimeout(this.#later);
    this.#draw();
  }

  #follow() {
    this.#leave();
    const job = this.getAttribute("job");
    const token = this.getAttribute("token");
    if (!job || !token || (this.#latest?.finished && this.#latest.state !== "lost")) return;
    this.#feed = Feed.of((this.getAttribute("src") ?? "/jobs").replace(/\/+$/, ""));
    this.#watch = { job, token, show: (document) => this.#show(document), lose: () => this.#lose() };
    this.#feed.join(this.#watch);
  }

  #leave() {
    if (this.#watch) this.#feed.leave(this.#watch);
    this.#watch = null;
  }

  // True if this is news. A document of the revision that is shown may be: the place in line changes without it.
  #show(job) {
    const before = this.#latest;
    if (job.revision < before?.revision || JSON.stringify(job) === JSON.stringify(before)) return false;
    this.#latest = job;
    if (job.finished) this.#leave();
    this.#draw();
    this.#announce(job.finished);
    this.#tell("changed");
    if (job.finished) this.#tell(job.state);
    return true;
  }

  #lose() {
    this.#leave();
    const id = this.getAttribute("job");
    const words = this.#text("lost");
    this.#show({ ...this.#latest, id, state: "lost", words, finished: true, error: null, result: null });
  }

  #draw() {
    const job = this.#latest;
    this.#fallback.hidden = !!job;
    this.#box.hidden = !job;
    if (!job) return this.removeAttribute("state");
    this.setAttribute("state", job.state);
    put(this.#label, this.getAttribute("label") ?? job.title);
    put(this.#words, job.words);
    put(this.#error, job.error ?? this.#problem);
    this.#bar.hidden = ["dead", "cancelled", "lost"].includes(job.state);
    const part = this.#part();
    if (part === null) this.#bar.removeAttribute("value");
    else this.#bar.value = part;
    const place = here(job.result);
    if (place) this.#result.href = place;
    put(this.#result, place && this.#text("result"));
    const isCancelling = this.#cancelling || job.cancelling;
    put(this.#cancel, job.can_cancel && !job.finished && this.#text(isCancelling ? "cancelling" : "cancel"));
    this.#cancel.ariaDisabled = isCancelling; // "disabled" would take the focus away
    this.#actions.hidden = this.#result.hidden && this.#cancel.hidden;
  }

  // How much is done, from 0 to 1; null while that is unknown.
  #part() {
    const { state, progress } = this.#latest;
    const part = state === "succeeded" ? 1 : progress?.total > 0 ? progress.done / progress.total : NaN;
    return Number.isFinite(part) ? Math.min(Math.max(part, 0), 1) : null;
  }

  // Aloud: at the end; before, when a tenth more is done (at most once a second), or after five seconds.
  #announce(isUrgent) {
    clearTimeout(this.#later);
    const since = performance.now() - this.#saidAt;
    const part = this.#part();
    if (!isUrgent && since < 5000 && (since < 1000 || Math.abs(part - this.#saidPart) < 0.1)) {
      this.#later = setTimeout(() => this.#announce(), 5000 - since);
      return;
    }
    this.#saidAt = performance.now();
    this.#saidPart = part;
    const label = this.#label.textContent && `${this.#label.textContent}: `;
    this.#said.textContent = `${label}${this.#words.textContent} ${this.#error.textContent}`.trim();
  }

  async #askToCancel() {
    if (!this.#watch || this.#cancelling || this.#latest.cancelling) return;
    this.#cancelling = true;
    this.#problem = null;
    this.#draw();
    const { job, token } = this.#watch;
    const headers = { authorization: `Bearer ${token}`, accept: "application/json" };
    const place = `${this.#feed.src}/${encodeURIComponent(job)}/cancel`;
    const answer = await fetch(place, { method: "POST", headers }).catch(() => null);
    if (answer?.ok || job !== this.#watch?.job) return;
    this.#cancelling = false;
    this.#problem = this.#text("failed");
    this.#draw();
    this.#announce(true);
  }

  #tell(what) {
    this.dispatchEvent(new CustomEvent(`job-${what}`, { bubbles: true, composed: true, detail: this.#latest }));
  }

  #text(name) {
    return this.getAttribute(`text-${name}`) ?? TEXTS[name];
  }
}

const jittered = (ms) => ms * (1 + Math.random() / 2); // so that a thousand pages do not come back at once

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  element.append(...children);
  return element;
}

// As text, never as HTML: it comes from the far side.
function put(element, text) {
  element.textContent = text || "";
  element.hidden = !text;
}

// An address on this server, or nothing. The scheme counts too: a blob: has the origin of the page that made it.
function here(address) {
  if (!address || !URL.canParse(address, location)) return "";
  const url = new URL(address, location);
  return url.origin === location.origin && /^https?:$/.test(url.protocol) && url.href;
}

if (!customElements.get("job-status")) customElements.define("job-status", JobStatus);
