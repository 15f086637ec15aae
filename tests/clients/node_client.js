// Calls Bedrock with nothing but node's own `https`: HTTP/1.1 over the TLS library inside the node binary. Speaks the
// protocol described in protocol.py.

'use strict';

const fs = require('fs');
const https = require('https');
const readline = require('readline');
const zlib = require('zlib');

const [endpoint, authority] = process.argv.slice(2);
const base = new URL(endpoint);
const agent = new https.Agent({ keepAlive: true, maxSockets: 64, ca: fs.readFileSync(authority) });

const PATHS = {
  Converse: 'converse',
  ConverseStream: 'converse-stream',
  InvokeModel: 'invoke',
  InvokeModelWithResponseStream: 'invoke-with-response-stream',
};

const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

// Cuts whole frames of application/vnd.amazon.eventstream off the front of a buffer.
function frames(buffer) {
  const found = [];
  while (buffer.length >= 16) {
    const total = buffer.readUInt32BE(0);
    if (buffer.length < total) break;
    const headersLength = buffer.readUInt32BE(4);
    const headers = {};
    let at = 12;
    while (at < 12 + headersLength) {
      const nameLength = buffer.readUInt8(at);
      const name = buffer.toString('utf8', at + 1, at + 1 + nameLength);
      at += 1 + nameLength;
      if (buffer.readUInt8(at) !== 7) throw new Error(`header ${name} is not a string`);
      const valueLength = buffer.readUInt16BE(at + 1);
      headers[name] = buffer.toString('utf8', at + 3, at + 3 + valueLength);
      at += 3 + valueLength;
    }
    found.push({ headers, payload: parsed(buffer.toString('utf8', at, total - 4)) });
    buffer = buffer.subarray(total);
  }
  return { found, rest: buffer };
}

// Checksums are not looked at: what does not read is passed over, and the client reads on.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function note(seen, { headers, payload }) {
  seen.events += 1;
  if (payload === undefined) return;
  if (headers[':message-type'] === 'exception') {
    seen.error = headers[':exception-type'];
    seen.message = payload.message;
    return;
  }
  let event = { [headers[':event-type']]: payload };
  if (event.chunk) event = parsed(Buffer.from(payload.bytes, 'base64').toString('utf8')) ?? {};
  seen.text += event.contentBlockDelta?.delta?.text ?? event.delta?.text ?? event.outputText ?? '';
  seen.stop_reason =
    event.messageStop?.stopReason ?? event.delta?.stop_reason ?? event.completionReason ?? seen.stop_reason;
  seen.usage = event.metadata?.usage ?? seen.usage;
}

function make(call) {
  return new Promise((resolve) => {
    const seen = { id: call.id, request_id: null, status: null, events: 0, text: '' };
    let finished = false;
    const finish = () => {
      if (finished) return;
      finished = true;
      say(seen);
      resolve();
    };
    const body = JSON.stringify(call.body);
    const request = https.request(
      {
        agent,
        host: base.hostname,
        port: base.port,
        servername: base.hostname,
        method: 'POST',
        path: `/model/${encodeURIComponent(call.model)}/${PATHS[call.operation]}`,
        headers: {
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
          'Accept-Encoding': 'gzip',
          Authorization: 'Bearer bedrock-api-key-that-nobody-may-store',
          ...call.headers,
        },
      },
      (response) => {
        seen.status = response.statusCode;
        seen.request_id = response.headers['x-amzn-requestid'];
        const streams = response.headers['content-type'] === 'application/vnd.amazon.eventstream';
        const stream = response.headers['content-encoding'] === 'gzip' ? response.pipe(zlib.createGunzip()) : response;
        let held = Buffer.alloc(0);
        stream.on('data', (piece) => {
          held = Buffer.concat([held, piece]);
          if (!streams) return;
          const { found, rest } = frames(held);
          held = rest;
          for (const frame of found) {
            note(seen, frame);
            if (seen.events === call.take) return response.destroy();
          }
        });
        stream.on('end', () => {
          if (!streams) {
            const answer = JSON.parse(held.toString('utf8'));
            seen.body = answer;
            if (seen.status !== 200) {
              seen.error = (response.headers['x-amzn-errortype'] ?? '').split(':')[0];
              seen.message = answer.message;
            } else if (call.operation === 'Converse') {
              seen.text = answer.output.message.content.map((block) => block.text ?? '').join('');
              seen.stop_reason = answer.stopReason;
              seen.usage = answer.usage;
            }
          }
          finish();
        });
        response.on('error', () => {}); // 'close' follows
        response.on('close', () => {
          if (response.complete) return; // 'end' tells, once everything is decompressed
          if (seen.events !== call.take) {
            seen.error = 'Incomplete';
            seen.message = 'the connection was closed before the response was complete';
          }
          finish();
        });
      },
    );
    request.on('error', (error) => {
      if (seen.status !== null) return; // the response tells
      seen.error = error.code ?? error.name;
      seen.message = error.message;
      finish();
    });
    request.end(body);
  });
}

async function run(batch) {
  const waiting = [...batch.calls];
  const worker = async () => {
    while (waiting.length > 0) await make(waiting.shift());
  };
  await Promise.all(Array.from({ length: batch.threads ?? 1 }, worker));
  say({ done: true });
}

say({ ready: process.pid });
let previous = Promise.resolve();
readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    previous = previous.then(() => run(JSON.parse(line)));
  })
  .on('close', () => {
    previous.then(() => agent.destroy());
  });
