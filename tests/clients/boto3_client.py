"""Calls Bedrock with boto3: one client, its keep-alive pool, and as many threads as a batch asks for.

A batch with `"fork": true` is made by a forked child; its results come through the same standard output.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

import protocol


def make(client, call):
    seen = protocol.Seen(call)
    try:
        method = getattr(client, protocol.METHODS[call["operation"]])
        response = method(**protocol.arguments(call))
        seen.head(response)
        if call["operation"] == "Converse":
            seen.converse(response)
        elif call["operation"] == "InvokeModel":
            seen.invoke(response["body"].read())
        else:
            stream = response.get("stream") or response.get("body")
            for event in stream:
                seen.event(event)
                if seen.fields["events"] == call.get("take"):
                    stream.close()
                    break
    except Exception as error:  # whatever the client sees is what the test wants to know
        seen.error(error)
    protocol.say(seen.fields)


def run(client, batch):
    with ThreadPoolExecutor(batch.get("threads", 1)) as pool:
        list(pool.map(lambda call: make(client, call), batch["calls"]))


def new_client():
    config = Config(
        retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=64,
        connect_timeout=60,
        read_timeout=60,
    )
    return boto3.client("bedrock-runtime", config=config, **protocol.configuration())


def main():
    client = new_client()
    for batch in protocol.batches():
        if batch.get("fork"):
            child = os.fork()
            if child == 0:
                protocol.say({"child": os.getpid()})
                run(new_client(), batch)
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(child, 0)
        else:
            run(client, batch)


main()
