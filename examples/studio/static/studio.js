// Sends photos one by one and follows each job until it has ended. Without this script the form still works.
const form = document.getElementById("form");
const input = document.getElementById("photo");
const said = document.getElementById("said");
const list = document.getElementById("list");
const names = { queued: "waiting", scheduled: "trying again", running: "working", succeeded: "ready", dead: "not possible", cancelled: "cancelled", refused: "not taken" };

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const photos = [...input.files];
  document.getElementById("photos").hidden = false;
  form.reset();
  for (const photo of photos) follow(photo);
});

async function follow(photo) {
  const card = document.getElementById("card").content.firstElementChild.cloneNode(true);
  card.querySelector("h3").textContent = photo.name;
  card.querySelector("progress").setAttribute("aria-label", `Progress of ${photo.name}`);
  show(card, { state: "queued", words: "Sending.", done: null });
  list.prepend(card);
  try {
    const body = new FormData();
    body.append("photo", photo);
    const sent = await fetch("/photos", { method: "POST", body });
    const answer = await sent.json();
    if (sent.status !== 202) throw new Error(answer.error);
    await watch(card, photo.name, answer.status);
  } catch (error) {
    const words = error instanceof TypeError ? "The connection was lost. Please send the photo again." : error.message;
    show(card, { state: "refused", words, finished: true, results: [] });
    said.textContent = `${photo.name}: ${words}`;
  }
}

async function watch(card, name, address) {
  for (let pause = 150; ; pause = Math.min(pause * 1.3, 2000)) {
    const job = await (await fetch(address, { headers: { accept: "application/json" } })).json();
    show(card, job);
    if (job.finished) {
      said.textContent = `${name}: ${job.words}`;
      return;
    }
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

function show(card, job) {
  card.dataset.state = job.state;
  card.querySelector(".state").textContent = names[job.state];
  const took = job.state === "succeeded" ? ` Ready ${job.seconds} s after it was sent.` : "";
  card.querySelector(".words").textContent = job.words + took;
  const bar = card.querySelector("progress");
  bar.hidden = job.state === "dead" || job.state === "refused";
  if (job.done !== null && job.done !== undefined) {
    bar.max = job.total;
    bar.value = job.done;
  }
  for (const result of job.results ?? []) card.querySelector(".results").append(picture(result));
}

function picture(result) {
  const item = document.createElement("li");
  const link = Object.assign(document.createElement("a"), { href: result.url });
  link.append(Object.assign(document.createElement("img"), { src: result.url, alt: result.label, loading: "lazy" }));
  const text = document.createElement("span");
  const kind = result.label === "WebP" ? "WebP, " : "";
  text.textContent = `${kind}${result.width} × ${result.height}, ${Math.round(result.size / 1024)} KB`;
  item.append(link, text);
  return item;
}
