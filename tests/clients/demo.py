"""An ordinary boto3 program: knows nothing of tracing. Makes a Converse, a ConverseStream with a tool call, an InvokeModel and
a call that fails. Where Bedrock is comes from the environment (AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_CA_BUNDLE)."""

import json

import boto3
from botocore.exceptions import ClientError

bedrock = boto3.client("bedrock-runtime", region_name="us-east-1")

bedrock.converse(
    modelId="us.amazon.nova-micro-v1:0",
    system=[{"text": "You are terse."}],
    messages=[{"role": "user", "content": [{"text": "What does a geophone hear? @fake(first_ms=120)"}]}],
    inferenceConfig={"maxTokens": 256, "temperature": 0.2},
)

answer = bedrock.converse_stream(
    modelId="us.anthropic.claude-3-7-sonnet-20250219-v1:0",
    messages=[
        {
            "role": "user",
            "content": [{"text": "How warm is it in Oslo? @fake(answer=tool, chunks=12, first_ms=180, delay_ms=20, cache_read=2048)"}],
        }
    ],
    toolConfig={
        "tools": [
            {
                "toolSpec": {
                    "name": "get_weather",
                    "description": "The weather of a city",
                    "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
                }
            }
        ]
    },
)
for event in answer["stream"]:
    pass

bedrock.invoke_model(
    modelId="us.anthropic.claude-3-5-haiku-20241022-v1:0",
    body=json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "Name one igneous rock. @fake(first_ms=90)"}],
        }
    ),
)["body"].read()

try:
    bedrock.converse(
        modelId="us.amazon.nova-lite-v1:0",
        messages=[{"role": "user", "content": [{"text": "@fake(fail=validation)"}]}],
    )
except ClientError:
    pass
