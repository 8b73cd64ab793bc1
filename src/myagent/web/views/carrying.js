// What a prompt carries, as far as the first look needs it: what begins that is listened to, the rest comes later.

import { byId, el } from "./dom.js";
import { Later } from "./later.js";

/** Where pictures of sessions come from; the page sets it. */
export const source = { blob: null };

export const pictures = new Later(() => import("./pictures.js"), ({ Pictures }) => new Pictures((path) => source.blob(path)));

/** Paste, drop and a button hand files to `attachments`; what is typed of a command or a path, to `completion`. */
export function listenForFiles(attachments, completion) {
  const add = (given) => {
    const files = [...given]; // the event's own list is emptied before a part that comes later is there
    attachments.use((part) => part.add(files));
  };
  const form = byId("prompt-form");
  const box = byId("prompt");
  const input = byId("attach-file");
  byId("attach").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });
  box.addEventListener("paste", (event) => {
    const { files } = event.clipboardData;
    if (files.length === 0) return;
    event.preventDefault();
    add(files);
  });
  for (const node of [form, byId("reading")]) {
    node.addEventListener("dragover", (event) => event.dataTransfer.types.includes("Files") && event.preventDefault());
    node.addEventListener("drop", (event) => {
      if (event.dataTransfer.files.length === 0) return;
      event.preventDefault();
      if (!form.hidden) add(event.dataTransfer.files);
    });
  }
  box.addEventListener("input", () => {
    if (completion.part?.open || /^\/|(?:^|\s)@/.test(box.value)) completion.use((part) => part.typed());
  });
}

/** Begin with what a prompt carries: the paths that it names, and what is attached, once that is at the server. */
export function withContent(page, prompt, begin) {
  const links = page.completion.part?.mentioned(prompt) ?? [];
  const attached = page.attachments.part;
  if (!attached?.any) {
    begin(links);
    return;
  }
  attached.busy = true;
  attached.upload().then((content) => begin([...content, ...links]), ({ message }) => page.prompts.note(message)).finally(() => {
    attached.busy = false;
    page.draw();
  });
}

/** A place for what a prompt or an agent sent; `null` where there is nothing. */
export function drawCarried(content, sessionId) {
  if (content.length === 0) return null;
  const node = el("div", { class: "carried" });
  pictures.use((part) => part.draw(node, content, sessionId));
  return node;
}
