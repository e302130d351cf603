// The story: two forms, few threads, and what everybody else feels meanwhile. The page works without it.
import { add, draw } from "./chart.js";
import { heard, showCrowds } from "./crowds.js";
import { beat } from "./heartbeat.js";
import { listen } from "./live.js";
import { showMail } from "./mail.js";
import { showThreads, tick as tickThreads } from "./threads.js";
import { now, told } from "./time.js";
import { showWorkers, tick as tickWorkers } from "./workers.js";

const LATE = 0.25; // seconds after which an outstanding beat is drawn as it grows
const figure = document.querySelector("#beat strong");
const drawn = new Set();

for (const hidden of document.querySelectorAll("#beat, #slowest-beat, .figures figure")) hidden.hidden = false;

const outstanding = beat(({ began, seconds }) => {
  add("own", began + seconds, seconds);
  heard(seconds);
  show(seconds);
});

listen({
  threads: showThreads,
  workers: showWorkers,
  mail: showMail,
  crowds: (state) => {
    showCrowds(state);
    for (const crowd of Object.values(state.crowds)) crowd.answers.forEach((answer, number) => point(crowd, answer, number, state.ahead));
  },
});

setInterval(() => {
  const began = outstanding();
  const late = began === null ? 0 : now() - began;
  if (late > LATE) {
    add("own", now(), late);
    heard(late);
    show(late);
  }
  tickThreads();
  tickWorkers();
  draw();
}, matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 200);

function point(crowd, answer, number, ahead) {
  const name = `${crowd.form} ${crowd.began} ${number}`;
  if (drawn.has(name)) return;
  drawn.add(name);
  add(crowd.form === 1 ? "first" : "second", answer.at + ahead, answer.seconds);
}

function show(seconds) {
  figure.textContent = told(seconds);
  figure.parentElement.toggleAttribute("data-late", seconds > LATE);
}
