// The buttons that send a dozen people, and the table of what became of them.
import { told } from "./time.js";

const said = document.getElementById("said");
const slowest = { 1: null, 2: null }; // this page's slowest heartbeat while the latest crowd was there
let under = null;
let began = { 1: 0, 2: 0 };

document.querySelector("form[data-crowd]").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (under !== null) return;
  document.getElementById("stage").scrollIntoView({ block: "nearest" });
  const answer = await fetch("/crowd", { method: "POST", body: new URLSearchParams({ form: event.submitter.value }), headers: { accept: "application/json" } });
  said.textContent = answer.ok ? `A dozen people are on their way to Form ${event.submitter.value}.` : (await answer.json()).error;
});

export function showCrowds(state) {
  for (const crowd of Object.values(state.crowds)) {
    if (crowd.began !== began[crowd.form]) {
      began[crowd.form] = crowd.began;
      slowest[crowd.form] = crowd.ended ? null : 0;
    }
    cell("answered", crowd.form, `${crowd.answers.length} of ${crowd.people}`);
    cell("pictures", crowd.form, `${crowd.pictures} of ${crowd.people}`);
    for (const name of ["half_s", "slowest_s", "pictures_s"]) cell(name, crowd.form, told(crowd[name]));
    if (crowd.ended && under === crowd.form) conclude(crowd);
  }
  under = state.running;
  for (const button of document.querySelectorAll("form[data-crowd] button")) {
    button.setAttribute("aria-disabled", under !== null);
    button.toggleAttribute("data-running", String(under) === button.value);
  }
  showBeats();
}

// A beat that began, or is still outstanding, while a crowd is there.
export function heard(seconds) {
  if (under === null) return;
  slowest[under] = Math.max(slowest[under] ?? 0, seconds);
  showBeats();
}

function showBeats() {
  for (const form of [1, 2]) cell("beat", form, slowest[form] ? told(slowest[form]) : "–");
}

function conclude(crowd) {
  said.textContent = `A dozen people at Form ${crowd.form}: the last was answered after ${told(crowd.slowest_s)}; this page's slowest heartbeat was ${told(slowest[crowd.form])}.`;
}

function cell(name, form, text) {
  const found = document.querySelector(`[data-cell="${name}-${form}"]`);
  if (found.textContent !== text) found.textContent = text;
}
