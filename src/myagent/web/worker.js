// The service worker: shows what this server calls a device for, and sends back which answer was pressed. It has no
// `fetch` handler and no cache: nothing of a session is kept here.

const WORDS = { deny: "Deny", allow: "Allow", open: "Open" };

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("push", (event) => event.waitUntil(show(called(event.data))));
self.addEventListener("notificationclick", (event) => event.waitUntil(pressed(event.notification, event.action)));

/** What a push says; one that says nothing that is known here is told all the same, for a browser insists on that. */
function called(data) {
  try {
    const { title, body, tag, session = null, answers = {}, closed = false } = data.json();
    if (typeof title === "string" && typeof tag === "string") return { title, body, tag, session, answers, closed };
  } catch {
    // as below
  }
  return { title: "myagent calls", body: "Open the page to see why.", tag: "myagent", session: null, answers: {}, closed: false };
}

/** The next one of a tag takes the place of the one before: so what was answered elsewhere is withdrawn. */
function show({ title, body, tag, session, answers, closed }) {
  const open = { tag, body, data: { session, answers, closed } };
  if (closed) return self.registration.showNotification(title, { ...open, silent: true });
  const most = Notification.maxActions ?? 0;
  const named = ["deny", "allow"].filter((each) => typeof answers[each] === "string");
  const offered = [...named, "open"].slice(0, most).map((action) => ({ action, title: WORDS[action] }));
  return self.registration.showNotification(title, { ...open, actions: offered, renotify: true, requireInteraction: true });
}

async function pressed(notification, action) {
  const { session, answers, closed } = notification.data ?? {};
  notification.close();
  const ticket = answers?.[action];
  if (typeof ticket !== "string") return open(session);
  const why = await answer(action, ticket);
  if (why === null) return undefined;
  const said = { title: "Not answered", body: why, tag: notification.tag, session, answers: {}, closed };
  return show(said);
}

/** Send one answer, once; why it did not count, or `null`. */
async function answer(kind, ticket) {
  const headers = { "X-Myagent-Answer": kind, "X-Myagent-Ticket": ticket };
  try {
    const asked = { method: "POST", headers, cache: "no-store", credentials: "omit", redirect: "error" };
    const response = await fetch(new URL("answer", self.registration.scope), asked);
    if (response.ok) return null;
    if (response.status === 409) return (await response.text()).slice(0, 200);
    return response.status === 401 ? "It was answered already, or this device may not any more." : `The server refused it (${response.status}).`;
  } catch {
    return "The server cannot be reached. Open the page to answer.";
  }
}

/** Look at the page: at one that is open already, if there is one. */
async function open(session) {
  const pages = await self.clients.matchAll({ type: "window" });
  if (pages.length > 0) return pages[0].focus();
  const address = new URL("./", self.registration.scope);
  if (session !== null && session !== undefined) address.searchParams.set("session", session);
  return self.clients.openWindow(address);
}
