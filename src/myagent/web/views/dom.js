// Makes elements out of names, attributes and text. Nothing here, or anywhere in this page, takes markup.

const UNBROKEN = /\S{1000}/;
const RUNS = /\S{256}/gu; // fewer places to break take less time to lay out, and longer runs more again

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
  let start = 0;
  for (const { 0: run, index } of text.matchAll(RUNS)) {
    const end = index + run.length;
    nodes.push(document.createTextNode(text.slice(start, end)), document.createElement("wbr"));
    start = end;
  }
  return [...nodes, document.createTextNode(text.slice(start))];
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
export async function copy(text) {
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
