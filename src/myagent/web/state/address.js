// Which session an address shows. An address never holds a token: it can be given to others who may look. Pure.

const SESSION = "session";

/** The id of the session that an address asks for, or `null`. */
export function sessionIn(href) {
  return new URL(href).searchParams.get(SESSION) || null;
}

/** The path and query of an address that shows a session; `null`: none. */
export function addressOf(href, sessionId) {
  const url = new URL(href);
  if (sessionId === null) url.searchParams.delete(SESSION);
  else url.searchParams.set(SESSION, sessionId);
  return url.pathname + url.search;
}
