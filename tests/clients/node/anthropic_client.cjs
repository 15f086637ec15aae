// Calls Claude on Bedrock with Anthropic's own SDK for JavaScript: node's `fetch` below it.

'use strict';

const { AnthropicBedrock } = require('@anthropic-ai/bedrock-sdk');
const protocol = require('./protocol.cjs');

const [baseURL] = process.argv.slice(2);
const client = new AnthropicBedrock({
  baseURL,
  awsRegion: 'us-east-1',
  awsAccessKey: 'AKIAIOSFODNN7EXAMPLE',
  awsSecretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  awsSessionToken: 'a session token that nobody may store',
});

async function make(call) {
  const seen = protocol.nothing(call);
  const { anthropic_version, ...body } = call.body;
  const stream = call.operation === 'InvokeModelWithResponseStream';
  try {
    const { data, response } = await client.messages.create({ ...body, model: call.model, stream }).withResponse();
    seen.status = response.status;
    seen.request_id = response.headers.get('x-amzn-requestid');
    if (!stream) {
      seen.body = data;
      return seen;
    }
    for await (const event of data) {
      seen.events += 1;
      protocol.inner(seen, event);
      if (seen.events === call.take) break;
    }
  } catch (error) {
    seen.error = error.name;
    seen.message = error.message;
    seen.status ??= error.status ?? null;
    seen.request_id ??= error.headers?.get('x-amzn-requestid') ?? null;
  }
  return seen;
}

// Kept connections would hold the process back.
protocol.serve(make, () => process.exit(0));
