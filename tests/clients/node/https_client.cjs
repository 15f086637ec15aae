// Calls Bedrock with nothing but node's own `https`: HTTP/1.1 over the TLS library inside the node binary.

'use strict';

const fs = require('node:fs');
const https = require('node:https');
const zlib = require('node:zlib');
const protocol = require('./protocol.cjs');

const [endpoint, authority] = process.argv.slice(2);
const base = new URL(endpoint);
const agent = new https.Agent({ keepAlive: true, maxSockets: 64, ca: fs.readFileSync(authority) });

function make(call) {
  return new Promise((resolve) => {
    const seen = protocol.nothing(call);
    const body = JSON.stringify(call.body);
    const request = https.request(
      {
        agent,
        host: base.hostname,
        port: base.port,
        servername: base.hostname,
        method: 'POST',
        path: protocol.path(call),
        headers: {
          'Content-Length': Buffer.byteLength(body),
          'Accept-Encoding': 'gzip',
          ...protocol.headers(call),
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
          const { found, rest } = protocol.frames(held);
          held = rest;
          for (const frame of found) {
            protocol.note(seen, frame);
            if (seen.events === call.take) return response.destroy();
          }
        });
        stream.on('end', () => {
          if (!streams) {
            const answer = JSON.parse(held.toString('utf8'));
            protocol.answered(seen, call, answer, response.headers['x-amzn-errortype']);
          }
          resolve(seen);
        });
        response.on('error', () => {}); // 'close' follows
        response.on('close', () => {
          if (response.complete) return; // 'end' tells, once everything is decompressed
          if (seen.events !== call.take) {
            seen.error = 'Incomplete';
            seen.message = 'the connection was closed before the response was complete';
          }
          resolve(seen);
        });
      },
    );
    request.on('error', (error) => {
      if (seen.status !== null) return; // the response tells
      seen.error = error.code ?? error.name;
      seen.message = error.message;
      resolve(seen);
    });
    request.end(body);
  });
}

protocol.serve(make, () => agent.destroy());
