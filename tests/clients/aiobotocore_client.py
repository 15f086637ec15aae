"""Calls Bedrock with aiobotocore: asyncio, TLS over memory BIOs, all calls of a batch at once."""

import asyncio

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

import protocol


async def make(client, call):
    seen = protocol.Seen(call)
    try:
        method = getattr(client, protocol.METHODS[call["operation"]])
        response = await method(**protocol.arguments(call))
        seen.head(response)
        if call["operation"] == "Converse":
            seen.converse(response)
        elif call["operation"] == "InvokeModel":
            async with response["body"] as body:
                seen.invoke(await body.read())
        else:
            stream = response.get("stream") or response.get("body")
            async for event in stream:
                seen.event(event)
                if seen.fields["events"] == call.get("take"):
                    stream.close()
                    break
    except Exception as error:  # whatever the client sees is what the test wants to know
        seen.error(error)
    protocol.say(seen.fields)


async def run(settings, batches):
    config = AioConfig(
        retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=256,
        connect_timeout=60,
        read_timeout=60,
    )
    async with get_session().create_client("bedrock-runtime", config=config, **settings) as client:
        loop = asyncio.get_running_loop()
        while (batch := await loop.run_in_executor(None, next, batches, None)) is not None:
            limit = asyncio.Semaphore(batch.get("threads", 1))

            async def limited(call):
                async with limit:
                    await make(client, call)

            await asyncio.gather(*(limited(call) for call in batch["calls"]))


asyncio.run(run(protocol.configuration(), protocol.batches()))
