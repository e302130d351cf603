// Sends each form without leaving the page and follows each job until it has ended. Without this script it works, too.
const said = document.getElementById("said");
const list = document.getElementById("list");
const names = { queued: "waiting", scheduled: "trying again", running: "working", succeeded: "ready", dead: "not possible", cancelled: "cancelled", refused: "not taken", held: "held back", escaped: "escaped" };

for (const form of document.querySelectorAll("form:not([data-crowd])")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    document.getElementById("work").hidden = false;
    const data = new FormData(form, event.submitter);
    const photos = data.getAll("photo");
    if (!photos.length) {
      const title = form.dataset.title.replace(/{(\w+)(:text)?}/, (_, name, text) => (text ? form.elements[name].selectedOptions[0].text : data.get(name)));
      follow(form.action, title, data);
      return;
    }
    form.reset();
    for (const photo of photos) {
      const body = new FormData();
      body.append("photo", photo);
      if (data.has("as")) body.append("as", data.get("as"));
      follow(form.action, photo.name, body);
    }
  });
}

async function follow(address, title, body) {
  const card = document.getElementById("card").content.firstElementChild.cloneNode(true);
  card.querySelector("h3").textContent = title;
  card.querySelector("progress").setAttribute("aria-label", `Progress of ${title}`);
  show(card, { state: "queued", words: "Sending.", done: null });
  list.prepend(card);
  card.scrollIntoView({ block: "nearest" });
  try {
    const sent = await fetch(address, { method: "POST", body });
    const answer = await sent.json();
    if (sent.status === 200) {
      show(card, answer); // the request did the work
      said.textContent = `${title}: ${answer.words}`;
      return;
    }
    if (sent.status !== 202) throw new Error(answer.error);
    await watch(card, title, answer.status);
    if (address.endsWith("/newsletters")) await watchInbox();
  } catch (error) {
    const words = error instanceof TypeError ? "The connection was lost. Please send it again." : error.message;
    show(card, { state: "refused", words, finished: true, results: [] });
    said.textContent = `${title}: ${words}`;
  }
}

async function watch(card, title, address) {
  for (let pause = 150; ; pause = Math.min(pause * 1.3, 2000)) {
    const job = await (await fetch(address, { headers: { accept: "application/json" } })).json();
    show(card, job);
    if (job.finished) {
      said.textContent = `${title}: ${job.words}`;
      return;
    }
    await rest(pause);
  }
}

// Letters come in for a while after their newsletter is done; stop looking when there was nothing new for five seconds.
async function watchInbox() {
  for (let quiet = 0, seen = -1; quiet < 20; quiet++) {
    const inbox = await (await fetch("/inbox", { headers: { accept: "application/json" } })).json();
    if (inbox.count !== seen) quiet = 0;
    seen = inbox.count;
    document.getElementById("inbox").hidden = !inbox.count;
    document.getElementById("count").textContent = inbox.count;
    document.getElementById("letters-word").textContent = inbox.count === 1 ? "letter" : "letters";
    document.getElementById("letters").replaceChildren(...inbox.latest.map(envelope));
    await rest(250);
  }
}

function envelope(letter) {
  const item = document.createElement("li");
  const subject = document.createElement("strong");
  subject.textContent = letter.subject;
  const to = document.createElement("span");
  to.textContent = `to ${letter.to[0]}`;
  item.append(subject, to);
  return item;
}

function rest(pause) {
  return new Promise((resume) => setTimeout(resume, pause));
}

function show(card, job) {
  card.dataset.state = job.state;
  card.querySelector(".state").textContent = names[job.state];
  const took = job.state === "succeeded" ? ` Ready ${job.seconds} s after it was sent.` : "";
  card.querySelector(".words").textContent = job.words + took;
  const bar = card.querySelector("progress");
  bar.hidden = ["dead", "refused", "held", "escaped"].includes(job.state);
  if (job.done !== null && job.done !== undefined) {
    bar.max = job.total;
    bar.value = job.state === "succeeded" ? job.total : job.done;
  }
  for (const result of job.results ?? []) card.querySelector(".results").append(result.is_picture ? picture(result) : file(result));
}

function picture(result) {
  const link = Object.assign(document.createElement("a"), { href: result.url });
  link.append(Object.assign(document.createElement("img"), { src: result.url, alt: result.label, loading: "lazy" }));
  return entry(link, result);
}

function file(result) {
  return entry(Object.assign(document.createElement("a"), { href: result.url, className: "file", textContent: result.label }), result);
}

function entry(link, result) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  text.textContent = result.detail;
  item.append(link, text);
  return item;
}
