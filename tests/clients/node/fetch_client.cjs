// Calls Bedrock with `fetch`, under node, Bun and Deno. Each is told by its environment which authority to trust.

'use strict';

const { Buffer } = require('node:buffer');
const process = require('node:process');
const protocol = require('./protocol.cjs');

const [endpoint] = process.argv.slice(2);

async function make(call) {
  const seen = protocol.nothing(call);
  try {
    const response = await fetch(endpoint + protocol.path(call), {
      method: 'POST',
      headers: protocol.headers(call),
      body: JSON.stringify(call.body),
    });
    seen.status = response.status;
    seen.request_id = response.headers.get('x-amzn-requestid');
    if (response.headers.get('content-type') !== 'application/vnd.amazon.eventstream') {
      protocol.answered(seen, call, await response.json(), response.headers.get('x-amzn-errortype'));
      return seen;
    }
    let held = Buffer.alloc(0);
    for await (const piece of response.body) {
      const { found, rest } = protocol.frames(Buffer.concat([held, piece]));
      held = rest;
      for (const frame of found) {
        protocol.note(seen, frame);
        if (seen.events === call.take) return seen; // leaving the loop cancels the stream
      }
    }
  } catch (error) {
    seen.error = 'Incomplete';
    seen.message = `${error.name}: ${error.message} ${error.cause ?? ''}`;
  }
  return seen;
}

// Kept connections would hold the process back.
protocol.serve(make, () => process.exit(0));
