// A peer: Node and `ws`, one send per message per follower, as such a server is usually written.
//
//   emit TICKS BATCH   BATCH messages to everybody in each turn of the event loop
//   spawn ARGV…        run a program (arguments as JSON) and broadcast what it writes
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { timingSafeEqual } from 'node:crypto';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PEER_MODULES + '/');
const { WebSocketServer } = require('ws');
const expected = Buffer.from(`Bearer ${process.env.PEER_TOKEN}`);
const clients = new Set();
const sessionId = 'remote_20260101000000_abcdef01';
let seq = 0;

const http = createServer();
const server = new WebSocketServer({ noServer: true, perMessageDeflate: false });
http.on('upgrade', (request, socket, head) => {
  const shown = Buffer.from(request.headers.authorization ?? '');
  if (shown.length !== expected.length || !timingSafeEqual(shown, expected)) {
    socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n');
    return;
  }
  server.handleUpgrade(request, socket, head, (client) => {
    client.send(JSON.stringify({ type: 'ready', protocolVersion: 1 }));
    client.send(JSON.stringify({ type: 'role', role: clients.size ? 'follower' : 'owner' }));
    clients.add(client);
    client.on('close', () => clients.delete(client));
    client.on('error', () => clients.delete(client));
  });
});

function broadcast(chunk) {
  seq += 1;
  const message = JSON.stringify({ type: 'agent_stdout', id: 'p1', sessionId, chunk, seq });
  for (const client of clients) client.send(message);
}

function emit(ticks, batch) {
  if (ticks === 0) {
    console.log('done');
    return;
  }
  for (let i = 0; i < batch; i += 1) broadcast('hello hello hello');
  setImmediate(emit, ticks - 1, batch);
}

function run(argv) {
  const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk) => {
    broadcast(chunk);
    const full = () => { for (const client of clients) if (client.bufferedAmount > 1 << 20) return true; return false; };
    if (full()) {
      child.stdout.pause();
      const timer = setInterval(() => { if (!full()) { clearInterval(timer); child.stdout.resume(); } }, 1);
    }
  });
  child.on('close', () => console.log('done'));
}

http.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => console.log(JSON.stringify({ port: http.address().port })));
createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, ...rest] = line.split(' ');
  if (command === 'emit') emit(Number(rest[0]), Number(rest[1]));
  else if (command === 'spawn') run(JSON.parse(rest.join(' ')));
  else process.exit(0);
}).on('close', () => process.exit(0));
