//! Calls Bedrock with `aws-sdk-bedrockruntime`, its default HTTP client included: `sdk-client ENDPOINT`. The authority to
//! trust and the credentials come from the environment (`SSL_CERT_FILE`).

mod ask;
mod hear;

use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::{Credentials, Region};
use aws_sdk_bedrockruntime::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::operation::RequestId;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::{Client, Config};
use aws_smithy_types::event_stream::RawMessage;
use protocol::{Call, Seen};

fn main() {
    let endpoint = std::env::args().nth(1).expect("usage: sdk-client ENDPOINT");
    let credentials = Credentials::new(
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        Some("a session token that nobody may store".to_owned()),
        None,
        "the test",
    );
    let config = Config::builder()
        .endpoint_url(endpoint)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(credentials)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .build();
    let client = Client::from_conf(config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    protocol::serve(&runtime, move |call| {
        let client = client.clone();
        async move {
            let mut seen = Seen::of(&call);
            make(&client, &call, &mut seen).await;
            seen
        }
    });
}

async fn make(client: &Client, call: &Call, seen: &mut Seen) {
    let json = || Blob::new(call.body.to_string());
    match call.operation.as_str() {
        "Converse" => {
            let asked = ask::Conversation::of(&call.body);
            let answer = client
                .converse()
                .model_id(&call.model)
                .set_system(Some(asked.system))
                .set_messages(Some(asked.messages))
                .inference_config(asked.inference)
                .set_tool_config(asked.tools)
                .send()
                .await;
            if let Some(answer) = answered(answer, seen) {
                hear::converse(&answer, seen);
            }
        }
        "ConverseStream" => {
            let asked = ask::Conversation::of(&call.body);
            let answer = client
                .converse_stream()
                .model_id(&call.model)
                .set_system(Some(asked.system))
                .set_messages(Some(asked.messages))
                .inference_config(asked.inference)
                .set_tool_config(asked.tools)
                .send()
                .await;
            if let Some(answer) = answered(answer, seen) {
                hear::events(answer.stream, hear::converse_event, call, seen).await;
            }
        }
        "InvokeModel" => {
            let answer = client
                .invoke_model()
                .model_id(&call.model)
                .content_type("application/json")
                .body(json())
                .send()
                .await;
            if let Some(answer) = answered(answer, seen) {
                seen.set(
                    "body",
                    serde_json::from_slice::<serde_json::Value>(answer.body.as_ref()).unwrap_or_default(),
                );
            }
        }
        "InvokeModelWithResponseStream" => {
            let answer = client
                .invoke_model_with_response_stream()
                .model_id(&call.model)
                .content_type("application/json")
                .body(json())
                .send()
                .await;
            if let Some(answer) = answered(answer, seen) {
                hear::events(answer.body, hear::response_event, call, seen).await;
            }
        }
        "InvokeModelWithBidirectionalStream" => hear::both_ways(client, call, seen).await,
        other => panic!("{other} is no operation of this client"),
    }
}

/// Notes what every answer has; the answer if it is one.
fn answered<Answer, Failure>(answer: Result<Answer, SdkError<Failure>>, seen: &mut Seen) -> Option<Answer>
where
    Answer: RequestId,
    Failure: ProvideErrorMetadata + std::error::Error + RequestId + 'static,
{
    match answer {
        Ok(answer) => {
            seen.set("status", 200);
            seen.set_some("request_id", answer.request_id());
            Some(answer)
        }
        Err(failure) => {
            seen.set_some(
                "status",
                failure.raw_response().map(|response| response.status().as_u16()),
            );
            seen.set_some("request_id", failure.request_id());
            seen.error(
                failure.code().unwrap_or("Incomplete"),
                &failure
                    .message()
                    .map_or_else(|| DisplayErrorContext(&failure).to_string(), str::to_owned),
            );
            None
        }
    }
}

/// What went wrong in the middle of a stream.
fn broke<Failure>(failure: &SdkError<Failure, RawMessage>, seen: &mut Seen)
where
    Failure: ProvideErrorMetadata + std::error::Error + 'static,
{
    let told = failure.as_service_error();
    seen.error(
        told.and_then(ProvideErrorMetadata::code).unwrap_or("Incomplete"),
        &told
            .and_then(ProvideErrorMetadata::message)
            .map_or_else(|| DisplayErrorContext(failure).to_string(), str::to_owned),
    );
}
