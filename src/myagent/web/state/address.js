// Which session and event an address shows. An address never holds a token: it can be given to others who may look. Pure.

const SESSION = "session";
const EVENT = "event";

/** The id of the session that an address asks for, or `null`. */
export function sessionIn(href) {
  return new URL(href).searchParams.get(SESSION) || null;
}

/** The `seq` of the event that an address asks for, or `null`. */
export function eventIn(href) {
  const told = new URL(href).searchParams.get(EVENT) ?? "";
  return /^[1-9][0-9]{0,14}$/.test(told) ? Number(told) : null;
}

/** The path and query of an address that shows a session, and an event of it; `null`: none. */
export function addressOf(href, sessionId, seq = null) {
  const url = new URL(href);
  for (const [name, value] of [[SESSION, sessionId], [EVENT, seq]]) {
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  return url.pathname + url.search;
}
