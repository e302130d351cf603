// The row of request threads: what each is doing and for how long.
import { now, told } from "./time.js";

const tiles = [...document.querySelectorAll("#threads .tile")];
const line = document.getElementById("line");
let last = { threads: [], ahead: 0 };

export function showThreads(state) {
  last = state;
  const { waiting } = state;
  line.textContent = waiting ? `${waiting} ${waiting === 1 ? "waits" : "wait"} for a thread.` : "Nobody waits for a thread.";
  line.toggleAttribute("data-waiting", waiting > 0);
  tick();
}

export function tick() {
  last.threads.forEach((thread, number) => {
    const tile = tiles[number];
    tile.toggleAttribute("data-busy", thread.doing !== "");
    tile.querySelector(".what").textContent = thread.doing || "free";
    const since = thread.doing ? `${told(now() - last.ahead - thread.since)} so far` : thread.last && `last: ${thread.last}, ${told(thread.took_s)}`;
    tile.querySelector(".since").textContent = since;
  });
}
