// Asks the server for as little as one can ask, twice a second, one request at a time: what everybody else on the site feels.
import { now } from "./time.js";

const EVERY = 500;

// told hears of each beat {began, seconds}; the function returned says since when one is outstanding, or null.
export function beat(told) {
  let began = null;
  const once = async () => {
    if (!document.hidden) {
      began = now();
      const start = performance.now();
      try {
        await fetch("/heartbeat", { cache: "no-store" });
        told({ began, seconds: (performance.now() - start) / 1000 });
      } catch {
        // the server is away; the next beat finds it again
      }
      began = null;
    }
    setTimeout(once, EVERY);
  };
  once();
  return () => began;
}
