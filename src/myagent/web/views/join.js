// Where somebody comes in without a link: a token, and what others see of them.

import { byId, setText } from "./dom.js";

export class JoinForm {
  /** `take(text)`: whether there is a token in it, which is kept; `join(label)` goes on. */
  constructor(take, join) {
    byId("join-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = byId("join-token");
      if (!take(field.value)) {
        this.show("This is neither a link with a token nor a token.");
        return;
      }
      field.value = "";
      join(byId("join-label").value.trim());
    });
  }

  show(why) {
    byId("workspace").hidden = true;
    byId("join").hidden = false;
    setText(byId("join-why"), why);
    byId("join-why").hidden = why === "";
    byId("join-token").focus();
  }

  hide() {
    byId("join").hidden = true;
    byId("workspace").hidden = false;
  }
}
