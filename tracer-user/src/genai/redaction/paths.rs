//! Paths in the content attributes, looked at as one document.

use serde_json::{Map, Value, json};
use serde_json_path::NormalizedPath;

use super::{Hits, Redaction, mark};

impl Redaction {
    /// Takes out what the paths select. `document` holds each content attribute at the place that its name spells; what is
    /// a message or a part stays one, so that those who read the attribute still can.
    pub(crate) fn document(&self, document: &mut Value, hits: &mut Hits) {
        for rule in &self.paths {
            let places: Vec<String> = rule
                .path
                .query_located(document)
                .locations()
                .map(NormalizedPath::to_json_pointer)
                .collect();
            for place in places {
                // Something above it may be gone already.
                if let Some(value) = document.pointer_mut(&place) {
                    take_out(value, &mark(&rule.name));
                    hits.insert(rule.name.clone());
                }
            }
        }
    }
}

fn take_out(value: &mut Value, mark: &str) {
    match value {
        Value::Object(members) if members.contains_key("parts") => empty_message(members, mark),
        Value::Object(members) if is_part(members) => *value = part(mark),
        Value::Array(items) if items.iter().any(is_message) => {
            for item in items {
                take_out(item, mark);
            }
        }
        Value::Array(items) if items.iter().filter_map(Value::as_object).any(is_part) => {
            *items = vec![part(mark)];
        }
        value => *value = Value::String(mark.to_owned()),
    }
}

fn empty_message(members: &mut Map<String, Value>, mark: &str) {
    members.insert("parts".to_owned(), Value::Array(vec![part(mark)]));
}

fn part(mark: &str) -> Value {
    json!({"type": "text", "content": mark})
}

fn is_message(value: &Value) -> bool {
    value.get("parts").is_some()
}

fn is_part(members: &Map<String, Value>) -> bool {
    let has = |name| members.contains_key(name);
    has("type") && (has("content") || has("arguments") || has("response") || has("uri") || has("file_id"))
}
