// Pictures and files that wait to be sent with the next prompt: seen before, taken off again, uploaded in pieces.

import { escapeLine } from "../parsing/escape.js";
import { sha256 } from "../parsing/sha256.js";
import { byId, el } from "./dom.js";

const PICTURES = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const PIECE = 384 * 1024; // bytes in one message
const MOST = 16; // with one prompt

export class Attachments {
  /** `workspace` says what is taken; `ask(message, done, failed)` sends; `note(text)` tells. */
  constructor(workspace, ask, note) {
    Object.assign(this, { _workspace: workspace, _ask: ask, _note: note });
    this._items = []; // {kind, name, file, url, digest}
    this.busy = false; // they are being sent
    this._place = byId("attached");
  }

  get any() {
    return this._items.length > 0;
  }

  /** Take files, each as a picture if it is one, as far as the agent takes them. */
  add(files) {
    for (const file of files) {
      const why = this._refusal(file);
      if (why !== "") this._note(`${escapeLine(file.name)}: ${why}`);
      else this._items.push({ kind: this._kind(file), name: file.name, file, url: this._kind(file) === "image" ? URL.createObjectURL(file) : "" });
    }
    this._draw();
  }

  _kind({ type }) {
    return PICTURES.includes(type) && this._takes("image") ? "image" : "file";
  }

  _takes(kind) {
    return this._workspace.takes.includes(kind);
  }

  _refusal(file) {
    const { itemBytes = Infinity } = this._workspace.limits;
    if (file.size === 0) return "it is empty, or a folder";
    if (file.size > itemBytes) return `it is larger than ${Math.floor(itemBytes / 1024 / 1024)} MiB`;
    if (this._items.length >= MOST) return `no more than ${MOST} go with one prompt`;
    if (this._takes(this._kind(file))) return "";
    return this._takes("image") ? "this agent takes pictures (PNG, JPEG, WebP, GIF), and no other files" : "this agent takes no files";
  }

  /** Upload all of it; what the prompt then names. Rejects with why it could not. */
  async upload() {
    const content = [];
    for (const [place, item] of this._items.entries()) {
      this._note(`sending ${escapeLine(item.name)} (${place + 1} of ${this._items.length})`);
      const bytes = new Uint8Array(await item.file.arrayBuffer());
      item.digest ??= await sha256(bytes);
      await this._send(bytes, item.digest);
      content.push({ type: item.kind, digest: item.digest, name: item.name.slice(0, 500) });
    }
    return content;
  }

  async _send(bytes, digest) {
    for (let offset = 0; offset < bytes.length; offset += PIECE) {
      const data = base64(bytes.subarray(offset, offset + PIECE));
      const ack = await new Promise((done, failed) =>
        this._ask({ type: "upload", digest, size: bytes.length, offset, data }, done, (why) => failed(new Error(why))));
      if (ack?.duplicate) return;
    }
  }

  /** A prompt was taken with this content. */
  sent(content) {
    for (const { digest } of content) this._items.filter((item) => digest !== undefined && item.digest === digest).forEach((item) => this._remove(item));
  }

  _draw() {
    this._place.hidden = !this.any;
    this._place.replaceChildren(...this._items.map((item) => {
      const name = escapeLine(item.name);
      const seen = item.url === "" ? null : el("img", { src: item.url, alt: "", width: 48, height: 48 });
      const off = el("button", { type: "button", class: "quiet", "aria-label": `Take off ${name}`, text: "×", onclick: () => this._remove(item) });
      return el("span", { class: "chip" }, seen, el("span", { text: name }), off);
    }));
  }

  _remove(item) {
    if (item.url) URL.revokeObjectURL(item.url);
    this._items = this._items.filter((each) => each !== item);
    this._draw();
  }
}

function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32_768) text += String.fromCharCode(...bytes.subarray(at, at + 32_768));
  return btoa(text);
}
