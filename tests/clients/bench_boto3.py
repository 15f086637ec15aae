"""Bedrock calls whose CPU time is measured.

    bench_boto3.py --endpoint URL --ca FILE --operation converse|stream --calls N [--threads N] [--instrument]

Warms up, prints one JSON line with the pid, waits for a line on standard input, makes the calls, prints one JSON line with the
CPU seconds that this process used for them. With --instrument, OpenTelemetry's botocore instrumentation runs in the process,
with a batch processor whose exporter throws the spans away: its cost without that of sending.
"""

import argparse
import json
import os
import resource
import sys
import threading

import boto3
from botocore.config import Config

MODEL = "us.amazon.nova-micro-v1:0"


def instrument():
    from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Discard(SpanExporter):
        def export(self, spans):
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Discard()))
    BotocoreInstrumentor().instrument(tracer_provider=provider)


def messages(marker):
    return [{"role": "user", "content": [{"text": marker + " " + "What moves in the bedrock? " * 40}]}]


def converse(client, chunks, delay):
    client.converse(
        modelId=MODEL,
        messages=messages("@fake(chunks=40)"),
        inferenceConfig={"maxTokens": 512, "temperature": 0.2},
    )


def stream(client, chunks, delay):
    answer = client.converse_stream(
        modelId=MODEL,
        messages=messages(f"@fake(chunks={chunks}, delay_ms={delay})"),
        inferenceConfig={"maxTokens": 512, "temperature": 0.2},
    )
    for _ in answer["stream"]:
        pass


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--operation", choices=["converse", "stream"], required=True)
    parser.add_argument("--calls", type=int, required=True, help="calls of each thread")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--chunks", type=int, default=45, help="text deltas of a stream; five more events frame them")
    parser.add_argument("--delay", type=int, default=0, help="milliseconds between two deltas")
    parser.add_argument("--instrument", action="store_true")
    arguments = parser.parse_args()

    if arguments.instrument:
        instrument()
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=arguments.endpoint,
        verify=arguments.ca,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="not-a-secret",
        config=Config(max_pool_connections=arguments.threads, retries={"max_attempts": 1}, read_timeout=120),
    )
    call = converse if arguments.operation == "converse" else stream
    for _ in range(3):
        call(client, 5, 0)

    print(json.dumps({"pid": os.getpid()}), flush=True)
    for _ in sys.stdin:
        failures = []

        def work():
            try:
                for _ in range(arguments.calls):
                    call(client, arguments.chunks, arguments.delay)
            except Exception as error:  # noqa: BLE001 - whatever it is, the benchmark must hear of it
                failures.append(repr(error))

        before = cpu_seconds()
        threads = [threading.Thread(target=work) for _ in range(arguments.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(json.dumps({"cpu_seconds": cpu_seconds() - before, "failures": failures}), flush=True)


main()
