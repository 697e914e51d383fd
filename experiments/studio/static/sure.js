// Asks whether something is really to be deleted.

import { find } from "./dom.js";

// Returns whether the button `yes` was chosen.
export function sure(title, text, yes) {
  const dialog = find("#ask");
  find("h2", dialog).textContent = title;
  find("p", dialog).textContent = text;
  find("[value=yes]", dialog).textContent = yes;
  dialog.showModal();
  find("[value=no]", dialog).focus();
  return new Promise((resolve) => {
    const close = (answer) => {
      dialog.close();
      resolve(answer);
    };
    find("[value=yes]", dialog).onclick = () => close(true);
    find("[value=no]", dialog).onclick = () => close(false);
    dialog.oncancel = (event) => {
      event.preventDefault();
      close(false);
    };
  });
}
