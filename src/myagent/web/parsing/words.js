// Marks the words that differ between a line and the one that takes its place, at a bounded cost. Pure.

const LONGEST = 1000; // characters of a line that is looked into
const CELLS = 1 << 18; // of all comparisons of one difference: some ten milliseconds
const ALIKE = 0.3; // the part of the longer line that must be the same for marks to say anything
const WORD = /[\p{L}\p{N}_]+|\s+|[^]/gu;

/** A budget for one difference: `of(before, after)` gives the parts `{text, changed}` of both lines, or `null` where marks would
 * not help, or cost too much. */
export class Marks {
  constructor() {
    this._left = CELLS;
  }

  of(before, after) {
    if (Math.max(before.length, after.length) > LONGEST) return null;
    const old = before.match(WORD) ?? [];
    const now = after.match(WORD) ?? [];
    const cells = (old.length + 1) * (now.length + 1);
    if (cells > this._left) return null;
    this._left -= cells;
    const [keptOld, keptNow] = kept(old, now);
    const same = old.filter((word, at) => keptOld[at] && word.trim() !== "").join("").length;
    if (same < ALIKE * Math.max(before.length, after.length)) return null;
    return [parts(old, keptOld), parts(now, keptNow)];
  }
}

/** Which words of both are in their longest common part; heavier words count for more. */
function kept(old, now) {
  const width = now.length + 1;
  const common = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      const at = i * width + j;
      common[at] = old[i] === now[j] ? common[at + width + 1] + old[i].length : Math.max(common[at + width], common[at + 1]);
    }
  }
  const keptOld = new Uint8Array(old.length);
  const keptNow = new Uint8Array(now.length);
  for (let i = 0, j = 0; i < old.length && j < now.length;) {
    if (old[i] === now[j]) keptOld[i++] = keptNow[j++] = 1;
    else if (common[(i + 1) * width + j] >= common[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return [keptOld, keptNow];
}

function parts(words, isKept) {
  const found = [];
  words.forEach((text, at) => {
    const changed = isKept[at] === 0;
    if (found.at(-1)?.changed === changed) found.at(-1).text += text;
    else found.push({ text, changed });
  });
  return found;
}
