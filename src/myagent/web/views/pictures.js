// Pictures and files of a session: fetched with the credential when they come into view, shown as pictures and nothing else.

import { escapeLine, visible } from "../parsing/escape.js";
import { el } from "./dom.js";

const SHOWN = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const KEPT = 60; // pictures that the page holds on to; the oldest go first, and are fetched again
const TALLEST = 320; // pixels
const WIDEST = 480;

export class Pictures {
  /** `blob(path)` fetches something with the credential. */
  constructor(blob) {
    this._blob = blob;
    this._urls = new Map(); // path → promise of an address within the page
    this._watched = new IntersectionObserver((entries) => entries.forEach((entry) => this._seen(entry)), { rootMargin: "400px" });
    this._waiting = new WeakMap(); // image → path
  }

  draw(node, content, sessionId) {
    node.replaceChildren(...content.map((item) => this._item(item, sessionId)).filter(Boolean));
  }

  _item(item, sessionId) {
    const path = `sessions/${encodeURIComponent(sessionId)}/blobs/${encodeURIComponent(item.digest ?? "")}`;
    if (item.type === "text") return el("pre", { class: "text", text: visible(String(item.text)) });
    if (item.type === "link") return el("span", { class: "chip", text: `@${escapeLine(String(item.path))}` });
    if (item.omitted !== undefined) return el("span", { class: "chip", text: `picture left out: ${escapeLine(String(item.omitted))}` });
    const name = visible(String(item.name || (item.type === "image" ? "picture" : "file"))); // which the server has escaped
    if (item.type === "image" && SHOWN.includes(item.mimeType)) return this._picture(item, name, path);
    const size = Number.isFinite(item.size) ? `, ${item.size.toLocaleString()} bytes` : "";
    return el("button", { type: "button", class: "chip", text: `${name}${size}`, title: "Save", onclick: () => this._save(path, name) });
  }

  /** As large as it says, within bounds, before it is there: what is read stays in its place. */
  _picture({ width, height, size }, name, path) {
    const scale = Math.min(1, WIDEST / (width || 1), TALLEST / (height || 1));
    const facts = `${name}, ${width}×${height}, ${Number(size).toLocaleString()} bytes`;
    const image = el("img", { alt: facts, title: facts, width: Math.max(1, Math.round(width * scale)) || 1, height: Math.max(1, Math.round(height * scale)) || 1 });
    this._waiting.set(image, path);
    this._watched.observe(image);
    return el("button", { type: "button", class: "picture", "aria-label": `Open ${facts}`, onclick: () => this._open(path) }, image);
  }

  _seen({ isIntersecting, target }) {
    if (!isIntersecting) return;
    this._watched.unobserve(target);
    this._url(this._waiting.get(target)).then((url) => (target.src = url), () => target.parentElement.classList.add("missing"));
  }

  _url(path) {
    const known = this._urls.get(path);
    if (known !== undefined) return known;
    const url = this._blob(path).then((blob) => URL.createObjectURL(blob));
    this._urls.set(path, url);
    url.catch(() => this._urls.delete(path));
    if (this._urls.size > KEPT) {
      const [oldest, gone] = this._urls.entries().next().value;
      this._urls.delete(oldest);
      gone.then((each) => URL.revokeObjectURL(each), () => {});
    }
    return url;
  }

  _open(path) {
    const opened = open("about:blank", "_blank");
    this._url(path).then((url) => opened && (opened.location = url), () => opened?.close());
  }

  async _save(path, name) {
    const url = URL.createObjectURL(await this._blob(path));
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}
