// Sends each form without leaving the page. <job-status> shows how each job stands; this draws what the jobs made. Without this script it works, too.
const said = document.getElementById("said");
const list = document.getElementById("list");
const names = { queued: "waiting", scheduled: "trying again", running: "working", succeeded: "ready", dead: "not possible", cancelled: "cancelled", lost: "gone", refused: "not taken", held: "held back", escaped: "escaped" };

for (const form of document.querySelectorAll("form:not([data-crowd])")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    document.getElementById("work").hidden = false;
    const data = new FormData(form, event.submitter);
    const photos = data.getAll("photo");
    if (!photos.length) {
      const title = form.dataset.title.replace(/{(\w+)(:text)?}/, (_, name, text) => (text ? form.elements[name].selectedOptions[0].text : data.get(name)));
      send(form.action, title, data);
      return;
    }
    form.reset();
    for (const photo of photos) {
      const body = new FormData();
      body.append("photo", photo);
      if (data.has("as")) body.append("as", data.get("as"));
      send(form.action, photo.name, body);
    }
  });
}

async function send(address, title, body) {
  const card = document.getElementById("card").content.firstElementChild.cloneNode(true);
  card.querySelector("h3").textContent = title;
  show(card, "queued", "Sending.");
  list.prepend(card);
  card.scrollIntoView({ block: "nearest" });
  try {
    const sent = await fetch(address, { method: "POST", body, headers: { accept: "application/json" } });
    const answer = await sent.json();
    if (sent.status === 202) watch(card, title, answer, address.endsWith("/newsletters"));
    else if (sent.ok) finish(card, title, answer.words, answer.seconds, answer.results); // the request did the work
    else throw new Error(answer.error);
  } catch (error) {
    const words = error instanceof TypeError ? "The connection was lost. Please send it again." : error.message;
    show(card, "refused", words);
    said.textContent = `${title}: ${words}`;
  }
}

// The element says aloud how the job stands.
function watch(card, title, { id, token }, hasLetters) {
  const element = document.createElement("job-status");
  for (const [name, value] of Object.entries({ job: id, token, label: title })) element.setAttribute(name, value);
  card.querySelector(".words").replaceWith(element);
  element.addEventListener("job-changed", ({ detail: job }) => {
    show(card, job.extra?.state ?? job.state);
    if (job.state !== "succeeded") return;
    if (hasLetters) watchInbox();
    draw(card, (job.extra?.results ?? []).map((result, number) => ({ ...result, url: job.files[number].url })));
    if (job.files.length) element.after(paragraph(`Ready ${job.seconds} s after it was sent.`));
  });
}

function finish(card, title, words, seconds, results) {
  show(card, "succeeded", `${words} Ready ${seconds} s after it was sent.`);
  draw(card, results);
  said.textContent = `${title}: ${words}`;
}

function show(card, state, words) {
  card.dataset.state = state;
  card.querySelector(".state").textContent = names[state];
  if (words) card.querySelector(".words").textContent = words;
}

// Letters come in for a while after their newsletter is done; stop looking when there was nothing new for half a minute.
async function watchInbox() {
  for (let quiet = 0, seen = -1; quiet < 120; quiet++) {
    const inbox = await (await fetch("/inbox", { headers: { accept: "application/json" } })).json();
    if (inbox.count !== seen) quiet = 0;
    seen = inbox.count;
    document.getElementById("inbox").hidden = !inbox.count;
    document.getElementById("count").textContent = inbox.count;
    document.getElementById("letters-word").textContent = inbox.count === 1 ? "letter" : "letters";
    document.getElementById("letters").replaceChildren(...inbox.latest.map(envelope));
    await new Promise((resume) => setTimeout(resume, 250));
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

function draw(card, results) {
  card.querySelector(".results").replaceChildren(...results.map((result) => entry(result.is_picture ? picture(result) : file(result), result)));
}

function picture(result) {
  const link = Object.assign(document.createElement("a"), { href: result.url });
  link.append(Object.assign(document.createElement("img"), { src: result.url, alt: result.label, loading: "lazy" }));
  return link;
}

function file(result) {
  return Object.assign(document.createElement("a"), { href: result.url, className: "file", textContent: result.label });
}

function entry(link, result) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  text.textContent = result.detail;
  item.append(link, text);
  return item;
}

function paragraph(text) {
  return Object.assign(document.createElement("p"), { className: "words", textContent: text });
}
