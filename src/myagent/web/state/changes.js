// The files that a session has changed, as its tool calls tell: each with its changes, in their order. Pure.

import { counts, compare } from "../parsing/diff.js";
import { toolDetails } from "../views/timeline.js";

const MOST = 200_000; // characters of a change that is counted; a larger one is shown, and not counted
const known = new WeakMap(); // tool call's content → its changes

/** `{path, added, removed, isNew, changes: [{item, diff}]}` by path, those that changed last first. */
export function changesOf(items) {
  const files = new Map();
  for (const { item, tool } of items.flatMap(toolsOf)) {
    if (tool.status !== "completed") continue; // what was denied or failed has changed nothing
    for (const change of changesIn(tool.call)) {
      const file = files.get(change.diff.path) ?? { path: change.diff.path, added: 0, removed: 0, isNew: change.diff.before === null, changes: [] };
      files.delete(file.path);
      files.set(file.path, file);
      file.added += change.added;
      file.removed += change.removed;
      file.changes.push({ item, diff: change.diff });
    }
  }
  return [...files.values()].reverse();
}

/** The latest plan: its entries, or `null`. */
export function planOf(items) {
  return items.findLast(({ kind }) => kind === "plan")?.entries ?? null;
}

function toolsOf(item) {
  if (item.kind === "tool") return [{ item, tool: item }];
  return item.kind === "reads" ? item.members.map((tool) => ({ item, tool })) : [];
}

function changesIn(call) {
  if (call.content === null || typeof call.content !== "object") return [];
  if (!known.has(call.content)) {
    known.set(call.content, toolDetails(call).diffs.map((diff) => {
      const large = (diff.before ?? "").length + diff.after.length > MOST;
      return { diff, ...(large ? { added: 0, removed: 0 } : counts(compare(diff.before, diff.after))) };
    }));
  }
  return known.get(call.content);
}
