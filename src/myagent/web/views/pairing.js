// Pairing: a link that enrols this device; it does so only when somebody says so.

const MARK = "#pair.";

/** The token of a link that pairs, taken out of the address; `null`: it is no such link. */
export function takePairing(location, history) {
  if (!location.hash.startsWith(MARK)) return null;
  const token = location.hash.slice(MARK.length);
  history.replaceState(null, "", location.pathname + location.search);
  return token;
}

/** What a browser says of the device that it is on, in the words of people. */
export function deviceName(agent = navigator.userAgent) {
  const find = (names) => names.find(([sign]) => agent.includes(sign))?.[1];
  const browser = find([["Firefox", "Firefox"], ["Edg/", "Edge"], ["Chrome", "Chrome"], ["Safari", "Safari"]]) ?? "browser";
  const system = find([
    ["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS", "Mac"], ["Linux", "Linux"],
  ]);
  return system === undefined ? browser : `${browser} on ${system}`;
}
