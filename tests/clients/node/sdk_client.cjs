// Calls Bedrock with AWS's own SDK for JavaScript, as it comes: HTTP/2.

'use strict';

const {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithBidirectionalStreamCommand,
  InvokeModelWithResponseStreamCommand,
} = require('@aws-sdk/client-bedrock-runtime');
const protocol = require('./protocol.cjs');

const [endpoint] = process.argv.slice(2);
const client = new BedrockRuntimeClient({
  endpoint,
  region: 'us-east-1',
  maxAttempts: 3,
  credentials: {
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    sessionToken: 'a session token that nobody may store',
  },
});

const read = (bytes) => JSON.parse(Buffer.from(bytes).toString('utf8'));

// Sends the events of a call one by one; `answered` is awaited before the next.
async function* spoken(call, answered) {
  for (const event of call.body.events) {
    yield { chunk: { bytes: Buffer.from(JSON.stringify(event)) } };
    await answered.shift();
  }
}

// Every event is answered by one, but the last by the rest of the stream.
async function talk(call, seen) {
  const turns = call.body.events.slice(0, -1).map(() => Promise.withResolvers?.() ?? resolvers());
  const answers = turns.map((turn) => turn.promise);
  const output = await client.send(
    new InvokeModelWithBidirectionalStreamCommand({ modelId: call.model, body: spoken(call, answers) }),
  );
  seen.status = output.$metadata.httpStatusCode;
  seen.request_id = output.$metadata.requestId;
  for await (const { chunk } of output.body) {
    seen.events += 1;
    const { event } = read(chunk.bytes);
    seen.text += event.textOutput?.content ?? '';
    seen.stop_reason = event.contentEnd?.stopReason ?? seen.stop_reason;
    turns.shift()?.resolve();
  }
}

function resolvers() {
  let resolve;
  const promise = new Promise((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

async function hear(stream, call, seen) {
  for await (const event of stream) {
    seen.events += 1;
    protocol.inner(seen, event.chunk ? read(event.chunk.bytes) : event);
    if (seen.events === call.take) return;
  }
}

function command(call) {
  const model = { modelId: call.model };
  const whole = { ...model, contentType: 'application/json', body: JSON.stringify(call.body) };
  switch (call.operation) {
    case 'Converse':
      return new ConverseCommand({ ...model, ...call.body });
    case 'ConverseStream':
      return new ConverseStreamCommand({ ...model, ...call.body });
    case 'InvokeModel':
      return new InvokeModelCommand(whole);
    default:
      return new InvokeModelWithResponseStreamCommand(whole);
  }
}

async function make(call) {
  const seen = protocol.nothing(call);
  try {
    if (call.operation === 'InvokeModelWithBidirectionalStream') {
      await talk(call, seen);
      return seen;
    }
    const output = await client.send(command(call));
    seen.status = output.$metadata.httpStatusCode;
    seen.request_id = output.$metadata.requestId;
    seen.attempts = output.$metadata.attempts;
    if (call.operation === 'Converse') {
      protocol.answered(seen, call, output);
      seen.tool = output.output.message.content.find((block) => block.toolUse)?.toolUse;
    } else if (call.operation === 'InvokeModel') {
      seen.body = read(output.body);
    } else {
      await hear(output.stream ?? output.body, call, seen);
    }
  } catch (error) {
    seen.error = error.name;
    seen.message = error.message;
    seen.status ??= error.$metadata?.httpStatusCode ?? null;
    seen.request_id ??= error.$metadata?.requestId ?? null;
  }
  return seen;
}

protocol.serve(make, () => client.destroy());
