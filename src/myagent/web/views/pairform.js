// Asks whether this device is to be enrolled: it gets a credential of its own only when somebody says so here.

import { byId, el } from "./dom.js";

/** Ask; `name` is what the device may be called, `enrol(name)` is called when somebody says yes. */
export function askToPair(name, enrol) {
  byId("join").hidden = byId("workspace").hidden = true;
  const field = el("input", { id: "pair-name", maxlength: "64", autocomplete: "off", spellcheck: "false", required: true });
  const form = el("form", { id: "pair-form" },
    el("h2", { id: "pair-title", text: "Pair this device" }),
    el("p", { text: "This browser gets a credential of its own and keeps it when it is closed, until that is revoked or expires. "
      + "Whoever uses this browser can then come back. Do it on a device of yours alone." }),
    el("label", { for: "pair-name", text: "What this device is called" }), field,
    el("button", { type: "submit", class: "primary", text: "Pair this device" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    byId("pair").hidden = true;
    enrol(field.value.trim() || name);
  });
  field.value = name;
  byId("pair").replaceChildren(form);
  byId("pair").hidden = false;
  field.focus();
}
