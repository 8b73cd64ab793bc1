// Times as they are read: of the day, and how long something took.

/** Milliseconds of an event's time, which an older server does not tell. */
export function timeOf(at) {
  const time = typeof at === "string" ? Date.parse(at) : at;
  return Number.isFinite(time) ? time : null;
}

/** The time of the day, with the date if that is not today; empty where it is not known. */
export function clock(at, now = new Date()) {
  const time = timeOf(at);
  if (time === null) return "";
  const date = new Date(time);
  const day = date.toDateString() === now.toDateString() ? "" : `${date.toLocaleDateString()} `;
  return day + date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** How long it took from one time to another, in words. */
export function lasted(from, to) {
  const [begin, end] = [timeOf(from), timeOf(to)];
  return begin === null || end === null ? "" : duration(end - begin);
}

export function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}
