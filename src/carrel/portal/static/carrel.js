// The portal works without this file; it adds the NHS.UK components' behaviour and live progress.
import { initAll } from "./vendor/nhsuk.js";

initAll();

// A form is sent once: a second click before the answer does nothing.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  else if (form.method === "post") form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

// Live parts: the server sends the finished HTML of the part whenever it changed.
// Without JavaScript, or when the stream fails, the page's <noscript> refresh or a reload shows the same.
for (const part of document.querySelectorAll("[data-stream]")) {
  const source = new EventSource(part.dataset.stream);
  source.addEventListener("part", (event) => {
    part.innerHTML = event.data;
  });
  source.addEventListener("end", (event) => {
    source.close();
    if (event.data) window.location.assign(event.data);
  });
}
