// Compares two texts line by line, at a bounded cost.

const CELLS = 1 << 22; // of the comparison; what is larger is shown as replaced
const CONTEXT = 3; // unchanged lines around a change

/** Rows `{kind: "same" | "old" | "new" | "skip", text}` that lead from one text to the other; `null`: no file. What was
 * skipped is in `hidden`, a list of rows. */
export function compare(before, after) {
  const old = lines(before ?? "");
  const now = lines(after);
  let first = 0;
  while (first < old.length && first < now.length && old[first] === now[first]) first += 1;
  let last = 0;
  while (last < old.length - first && last < now.length - first && old.at(-1 - last) === now.at(-1 - last)) last += 1;
  const rows = [
    ...old.slice(0, first).map(row("same")),
    ...middle(old.slice(first, old.length - last), now.slice(first, now.length - last)),
    ...old.slice(old.length - last).map(row("same")),
  ];
  return folded(rows);
}

function lines(text) {
  const found = text.split("\n");
  if (found.at(-1) === "") found.pop();
  return found;
}

function row(kind) {
  return (text) => ({ kind, text });
}

function middle(old, now) {
  if (old.length * now.length > CELLS) return [...old.map(row("old")), ...now.map(row("new"))];
  const width = now.length + 1; // the length of the longest common run of lines from (i, j) on
  const common = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      const at = i * width + j;
      common[at] = old[i] === now[j] ? common[at + width + 1] + 1 : Math.max(common[at + width], common[at + 1]);
    }
  }
  const rows = [];
  let i = 0;
  let j = 0;
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      rows.push({ kind: "same", text: old[i] });
      i += 1;
      j += 1;
    } else if (j >= now.length || (i < old.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      rows.push({ kind: "old", text: old[i] });
      i += 1;
    } else {
      rows.push({ kind: "new", text: now[j] });
      j += 1;
    }
  }
  return rows;
}

/** Leave out unchanged lines that are far from a change, and say how many. */
function folded(rows) {
  const near = new Uint8Array(rows.length);
  rows.forEach(({ kind }, index) => {
    if (kind !== "same") near.fill(1, Math.max(0, index - CONTEXT), index + CONTEXT + 1);
  });
  const kept = [];
  let hidden = [];
  const skip = () => {
    const count = hidden.length;
    if (count > 0) kept.push({ kind: "skip", text: `${count.toLocaleString()} unchanged ${count === 1 ? "line" : "lines"}`, hidden });
    hidden = [];
  };
  rows.forEach((each, index) => {
    if (near[index]) {
      skip();
      kept.push(each);
    } else {
      hidden.push(each);
    }
  });
  if (kept.length > 0) skip();
  return kept;
}

/** How many lines of a change were added and removed. */
export function counts(rows) {
  const of = (kind) => rows.filter((row) => row.kind === kind).length;
  return { added: of("new"), removed: of("old") };
}

/** The rows of a unified diff that begins with its first hunk. */
export function hunkRows(diff) {
  const kinds = { " ": "same", "+": "new", "-": "old" };
  return lines(diff).map((line) => {
    const kind = kinds[line[0]];
    if (kind !== undefined) return { kind, text: line.slice(1) };
    const place = /^@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/.exec(line);
    return { kind: "skip", text: place === null ? line.replace(/^\\ /, "") : `line ${place[1]}${place[2]}` };
  });
}
