"""Calls Bedrock with httpx over HTTP/2: asyncio, every stream on one connection.

Nothing of an SDK: a plain request, and botocore's decoder for the event stream.
"""

import asyncio
import json
import ssl
import sys
from urllib.parse import quote

import httpx
from botocore.eventstream import EventStreamBuffer

import protocol

ENDPOINT, AUTHORITY = sys.argv[1:3]
PATHS = {
    "Converse": "converse",
    "ConverseStream": "converse-stream",
    "InvokeModel": "invoke",
    "InvokeModelWithResponseStream": "invoke-with-response-stream",
}


def url(call):
    return f"{ENDPOINT}/model/{quote(call['model'], safe='')}/{PATHS[call['operation']]}"


async def make(client, call):
    seen = protocol.Seen(call)
    headers = {
        "content-type": "application/json",
        "authorization": "Bearer bedrock-api-key-that-nobody-may-store",
        **call["headers"],
    }
    try:
        async with client.stream("POST", url(call), headers=headers, json=call["body"]) as response:
            await hear(response, call, seen)
    except httpx.HTTPError as error:  # whatever the client sees is what the test wants to know
        seen.error(error)
    protocol.say(seen.fields)


async def hear(response, call, seen):
    seen.fields["status"] = response.status_code
    seen.fields["request_id"] = response.headers.get("x-amzn-requestid")
    if response.headers.get("content-type") != "application/vnd.amazon.eventstream":
        body = json.loads(await response.aread())
        seen.fields["body"] = body
        if response.status_code != 200:
            seen.fields["error"] = response.headers["x-amzn-errortype"].split(":")[0]
            seen.fields["message"] = body["message"]
        elif call["operation"] == "Converse":
            seen.converse(body)
        return
    buffer = EventStreamBuffer()
    async for piece in response.aiter_bytes():
        buffer.add_data(piece)
        for frame in buffer:
            if frame.headers[":message-type"] == "exception":
                seen.fields["error"] = frame.headers[":exception-type"]
                seen.fields["message"] = json.loads(frame.payload)["message"]
                seen.fields["events"] += 1
            elif frame.headers[":event-type"] == "chunk":
                seen.event({"chunk": {"bytes": protocol.base64.b64decode(json.loads(frame.payload)["bytes"])}})
            else:
                seen.event({frame.headers[":event-type"]: json.loads(frame.payload)})
            if seen.fields["events"] == call.get("take"):
                return


async def run(client, batch):
    waiting = list(batch["calls"])

    async def worker():
        while waiting:
            await make(client, waiting.pop(0))

    await asyncio.gather(*(worker() for _ in range(batch.get("threads", 1))))


async def main():
    context = ssl.create_default_context(cafile=AUTHORITY)
    async with httpx.AsyncClient(http2=True, verify=context, timeout=60) as client:
        batches = iter(protocol.batches())
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            await run(client, batch)


asyncio.run(main())
