// The workers, slot by slot.
import { now, told } from "./time.js";

const list = document.getElementById("worker-list");
const inLine = document.getElementById("in-line");
const short = document.getElementById("queue-line");
let since = []; // [element, when its job started]

export function showWorkers(state) {
  document.getElementById("workers").hidden = false;
  inLine.textContent = words(state);
  inLine.toggleAttribute("data-waiting", state.waiting > 0);
  sayShort(state);
  since = [];
  list.replaceChildren(...state.workers.map((worker) => panel(worker, state.ahead)));
  tick();
}

export function tick() {
  for (const [element, from] of since) element.textContent = `${told(Math.max(0, now() - from))} so far`;
}

// Beside the request threads, where the worker is out of sight.
function sayShort({ workers, waiting }) {
  const link = short.querySelector("a") ?? short.appendChild(Object.assign(document.createElement("a"), { href: "#workers" }));
  const busy = workers.reduce((sum, worker) => sum + worker.jobs.length, 0);
  link.textContent = `In the worker: ${busy} under way, ${waiting} in line`;
}

function words({ workers, waiting, is_reached }) {
  if (!is_reached) return "The queue cannot be reached just now.";
  if (!workers.length) return "No worker is up. Jobs wait until one comes.";
  return waiting ? `${waiting} ${waiting === 1 ? "job waits" : "jobs wait"} in line.` : "No job waits.";
}

function panel(worker, ahead) {
  const made = document.getElementById("worker").content.firstElementChild.cloneNode(true);
  made.querySelector("h3").textContent = `${worker.name}, process ${worker.pid}: ${worker.slots} ${worker.slots === 1 ? "slot" : "slots"}`;
  const tiles = worker.jobs.map((job) => tile(job, ahead));
  while (tiles.length < worker.slots) tiles.push(tile(null));
  made.querySelector("ul").append(...tiles);
  return made;
}

function tile(job, ahead) {
  const made = document.getElementById("at-work").content.firstElementChild.cloneNode(true);
  const bar = made.querySelector("progress");
  made.toggleAttribute("data-busy", job !== null);
  made.querySelector(".what").textContent = job ? job.kind : "free";
  if (!job) {
    bar.remove();
    return made;
  }
  bar.max = job.total || 1;
  bar.value = job.done;
  const words = document.createElement("span");
  words.className = "since";
  words.textContent = job.words;
  made.querySelector(".what").after(words);
  if (job.since) since.push([made.querySelector(".since:last-of-type"), job.since + ahead]);
  return made;
}
