// Makes elements out of names, attributes and text. Nothing here, or anywhere in this page, takes markup.

const BREAK_EVERY = 32; // characters of a run that would otherwise not break
const UNBROKEN = /\S{1000}/;
const PIECES = /\S{1,32}|\s+/gsu;

/** An element: `on…` are listeners, `text` its text, the rest attributes (`false` and `undefined`: left out). */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") node.append(...flowing(value));
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false && value !== null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function byId(id) {
  return document.getElementById(id);
}

/** Set a text only when it changes: what is selected in it stays selected. */
export function setText(node, text) {
  if (node.textContent !== text) node.replaceChildren(...flowing(text));
}

/** Text as nodes. A run without a space gets places to break at: browsers take seconds to find some in a long one. */
export function flowing(text) {
  if (!UNBROKEN.test(text)) return [document.createTextNode(text)];
  const nodes = [];
  for (const [piece] of text.matchAll(PIECES)) {
    if (piece.length >= BREAK_EVERY) nodes.push(document.createTextNode(piece), document.createElement("wbr"));
    else nodes.push(document.createTextNode(piece));
  }
  return nodes;
}

/** A button that copies what `text` gives. */
export function copyButton(text, label = "Copy") {
  return el("button", {
    type: "button",
    class: "quiet copy",
    text: label,
    onclick: async ({ currentTarget }) => {
      const done = await copy(text());
      currentTarget.textContent = done ? "Copied" : "Select and copy by hand";
      setTimeout(() => (currentTarget.textContent = label), 1500);
    },
  });
}

/** The clipboard is there on https and localhost only; elsewhere the old command still works. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = el("textarea", { class: "hidden", "aria-hidden": "true" });
    field.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
