// The mail server: how it stands, and its switch. Without this script the switch works, and the page shows how it stood.
const section = document.getElementById("mail");
const form = section.querySelector("form");
const words = document.getElementById("mail-words");
const button = form.querySelector("button");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new FormData(form, event.submitter);
  const answer = await fetch(form.action, { method: "POST", body, headers: { accept: "application/json" } });
  if (answer.ok) showMail(await answer.json());
});

export function showMail(mail) {
  section.dataset.state = mail.up ? "up" : "down";
  if (words.textContent !== mail.words) words.textContent = mail.words;
  button.value = mail.up ? "down" : "up";
  button.textContent = mail.up ? "Take it down" : "Bring it back";
}
