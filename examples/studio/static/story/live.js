// One stream of what the server is doing. Each document says what is the case; `ahead` is by how much this clock is ahead of the server's.
import { now } from "./time.js";

export function listen(readers) {
  let source = null;
  const open = () => {
    source = new EventSource("/live");
    for (const [name, read] of Object.entries(readers)) {
      source.addEventListener(name, (event) => {
        const document = JSON.parse(event.data);
        read({ ...document, ahead: now() - document.now });
      });
    }
  };
  document.addEventListener("visibilitychange", () => {
    source?.close();
    source = null;
    if (!document.hidden) open();
  });
  if (!document.hidden) open();
}
