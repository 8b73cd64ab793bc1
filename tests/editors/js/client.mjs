// A client on the protocol's TypeScript SDK: over /acp, or with an agent that it starts. Speaks one JSON line for each thing
// that it was told, and does what it reads, one JSON line for each thing to do.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Readable, Writable } from 'node:stream';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(`${process.env.EDITORS}/package.json`));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const acp = await load('@agentclientprotocol/sdk');
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

let stream;
if (process.env.ACP_URL) {
  const { createWebSocketStream } = await load('@agentclientprotocol/sdk/experimental/ws-client');
  const { default: WebSocket } = await load('ws').catch(() => ({ default: undefined }));
  stream = createWebSocketStream(process.env.ACP_URL, {
    headers: { Authorization: `Bearer ${process.env.ACP_TOKEN}` },
    ...(WebSocket ? { WebSocket } : {}),
  });
} else {
  const [command, ...rest] = process.argv.slice(2);
  const agent = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  stream = acp.ndJsonStream(Writable.toWeb(agent.stdin), Readable.toWeb(agent.stdout));
}

const answers = [];
const waiting = [];
const app = acp
  .client({ name: 'ts' })
  .onNotification(acp.methods.client.session.update, ({ params }) => tell({ update: params.update }))
  .onRequest(acp.methods.client.session.requestPermission, async ({ params }) => {
    tell({ asked: params.toolCall.title });
    const kind = answers.shift() ?? (await new Promise((resolve) => waiting.push(resolve)));
    const option = params.options.find((each) => each.kind === kind);
    return { outcome: { outcome: 'selected', optionId: option.optionId } };
  });

await app.connectWith(stream, async (agent) => {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params, notify, answer } = JSON.parse(line);
    if (answer) {
      (waiting.shift() ?? ((kind) => answers.push(kind)))(answer);
    } else if (notify) {
      await agent.notify(notify, params);
    } else {
      agent.request(method, params).then(
        (result) => tell({ id, result }),
        (error) => tell({ id, error: error.message }),
      );
    }
  }
});
process.exit(0);
