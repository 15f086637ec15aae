//! `Retrieve` and `RetrieveAndGenerate`.

use serde_json::{Value, json};

use super::super::answer::Rendered;
use super::super::error::Refusal;
use super::document;
use super::script::{ANSWER, DOCUMENTS};

pub(super) fn retrieve(body: &Value) -> Result<Rendered, Refusal> {
    if !body["retrievalQuery"]["text"].is_string() {
        return Err(Refusal::validation("retrievalQuery.text must not be empty."));
    }
    let results: Vec<Value> = DOCUMENTS
        .iter()
        .enumerate()
        .map(|(place, text)| {
            json!({
                "content": {"text": text, "type": "TEXT"},
                "location": {"type": "S3", "s3Location": {"uri": format!("s3://rocks/{place}.txt")}},
                "metadata": {}, "score": 0.75,
            })
        })
        .collect();
    Ok(document(&json!({"retrievalResults": results}), ""))
}

pub(super) fn generate(body: &Value) -> Result<Rendered, Refusal> {
    if !body["input"]["text"].is_string() {
        return Err(Refusal::validation("input.text must not be empty."));
    }
    let session = body["sessionId"].as_str().unwrap_or("a-new-session");
    let references: Vec<Value> = DOCUMENTS
        .iter()
        .map(|text| json!({"content": {"text": text}}))
        .collect();
    let part = json!({"textResponsePart": {"text": ANSWER, "span": {"start": 0, "end": 20}}});
    let body = json!({
        "citations": [{"generatedResponsePart": part, "retrievedReferences": references}],
        "output": {"text": ANSWER},
        "sessionId": session,
    });
    Ok(document(&body, ANSWER))
}
