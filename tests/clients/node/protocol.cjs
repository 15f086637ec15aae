// How the test harness talks to a client program: ../protocol.py describes the lines. For node, Bun and Deno.

'use strict';

const process = require('node:process');
const readline = require('node:readline');

const PATHS = {
  Converse: 'converse',
  ConverseStream: 'converse-stream',
  InvokeModel: 'invoke',
  InvokeModelWithResponseStream: 'invoke-with-response-stream',
};

const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

// Path of the request, for clients without an SDK.
const path = (call) => `/model/${encodeURIComponent(call.model)}/${PATHS[call.operation]}`;

// Header fields of the request, for clients without an SDK.
const headers = (call) => ({
  'Content-Type': 'application/json',
  Authorization: 'Bearer bedrock-api-key-that-nobody-may-store',
  ...call.headers,
});

// Nothing seen yet.
const nothing = (call) => ({ id: call.id, request_id: null, status: null, events: 0, text: '' });

// Checksums are not looked at: what does not read is passed over, and the client reads on.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

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

// Takes in a frame of a stream.
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
  inner(seen, event);
}

// Takes in the JSON of an event, whichever operation and body family it is of.
function inner(seen, event) {
  seen.text += event.contentBlockDelta?.delta?.text ?? event.delta?.text ?? event.outputText ?? '';
  seen.stop_reason =
    event.messageStop?.stopReason ?? event.delta?.stop_reason ?? event.completionReason ?? seen.stop_reason;
  seen.usage = event.metadata?.usage ?? seen.usage;
}

// Takes in a whole answer.
function answered(seen, call, answer, errorType) {
  seen.body = answer;
  if (seen.status !== 200) {
    seen.error = (errorType ?? '').split(':')[0];
    seen.message = answer.message;
  } else if (call.operation === 'Converse') {
    seen.text = answer.output.message.content.map((block) => block.text ?? '').join('');
    seen.stop_reason = answer.stopReason;
    seen.usage = answer.usage;
  }
}

// Makes the calls of each batch, so many at a time as it says; `make` gives what was seen of one. `end` runs at the end.
function serve(make, end = () => {}) {
  const run = async (batch) => {
    const waiting = [...batch.calls];
    const worker = async () => {
      while (waiting.length > 0) say(await make(waiting.shift()));
    };
    await Promise.all(Array.from({ length: batch.threads ?? 1 }, worker));
    say({ done: true });
  };
  say({ ready: process.pid });
  let previous = Promise.resolve();
  readline
    .createInterface({ input: process.stdin })
    .on('line', (line) => {
      previous = previous.then(() => run(JSON.parse(line)));
    })
    .on('close', () => {
      previous.then(end);
    });
}

module.exports = { answered, frames, headers, inner, note, nothing, path, serve };
