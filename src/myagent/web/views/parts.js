// The parts of the page that are there later, each with what it needs of the page.

import { Later } from "./later.js";

/** What asks whether a device is to be paired. */
export const pairForm = new Later(() => import("./pairform.js"), ({ askToPair }) => askToPair);

/** Parts by the name that the page has for them. */
export function partsOf(page) {
  const ask = (...asked) => page.ask(...asked);
  const answer = (message, failed) => ask(message, () => {}, failed);
  const commands = () => page.workspace.sessions.get(page.session)?.agentState?.commands ?? []; // the agent's own
  return {
    search: new Later(() => import("./search.js"), ({ Search }) => new Search(page.view)),
    rules: new Later(() => import("./rules.js"), ({ RulesDialog }) => new RulesDialog(ask)),
    questions: new Later(() => import("./question.js"), ({ QuestionDialog }) =>
      new QuestionDialog(page.workspace.questions, answer, () => page.now())),
    people: new Later(() => import("./people.js"), ({ PeopleDialog }) =>
      new PeopleDialog(page.workspace, ask, (why) => page.prompts.note(why))),
    changed: new Later(() => import("./changed.js"), ({ ChangedPanel }) => new ChangedPanel(page.view, ask, () => page.draw(), page.workspace)),
    attachments: new Later(() => import("./attachments.js"), ({ Attachments }) =>
      new Attachments(page.workspace, ask, (text) => page.prompts.note(text))),
    completion: new Later(() => import("./completion.js"), ({ Completion }) => new Completion(commands, (query, done) =>
      ask({ type: "list_files", query }, ({ paths }) => done(paths), () => {}))),
    push: new Later(() => import("./push.js"), ({ PushButton }) => new PushButton(ask, () => page.credential.token)),
    keeping: new Later(() => import("./keeping.js"), ({ KeepingDialog }) => new KeepingDialog(ask)),
  };
}
