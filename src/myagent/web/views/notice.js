// Calls somebody who does not look at the page: one notification for each permission request that waits.

export class Notices {
  constructor() {
    this._known = new Map(); // permissionRequestId → its notification; null: seen here, or not to be had
  }

  get wanted() {
    return globalThis.Notification?.permission;
  }

  /** Ask the browser whether we may; only ever on somebody's press. */
  ask() {
    return Notification.requestPermission();
  }

  /** Bring what is shown in line with the requests that wait. */
  show(entries, { looking, owns }) {
    const waiting = new Set(entries.map(({ event }) => event.permissionRequestId));
    for (const [requestId, notification] of this._known) {
      if (looking || !waiting.has(requestId)) notification?.close();
      if (!waiting.has(requestId)) this._known.delete(requestId);
    }
    for (const { event } of entries) {
      if (!this._known.has(event.permissionRequestId)) {
        this._known.set(event.permissionRequestId, looking ? null : this._notify(event, owns));
      }
    }
  }

  _notify({ permissionRequestId, request }, owns) {
    if (this.wanted !== "granted") return null;
    const title = owns ? "Permission asked" : "The owner is asked for permission";
    try {
      const made = new Notification(title, { body: request.title || request.toolName, tag: `myagent ${permissionRequestId}` });
      made.onclick = () => window.focus();
      return made;
    } catch {
      return null; // Chromium on Android has notifications for service workers only; the title's badge remains
    }
  }
}
