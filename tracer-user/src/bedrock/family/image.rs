//! Image models: Titan Image and Nova Canvas, Stability's newer models, and SDXL with its artifacts.

use super::super::body::Body;
use super::super::content::{Message, Part, decoded_length};
use super::super::json::{Json, Malformed};
use super::{Facts, Task};

const REQUEST: [&str; 3] = ["imageGenerationConfig", "seed", "prompt"];
const RESPONSE: [&str; 2] = ["finish_reasons", "error"];

pub(super) fn request(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    facts.task = Some(Task::Image);
    body.members(&REQUEST, |name, value| match name {
        "imageGenerationConfig" => facts.parameters.take_all(value),
        "seed" => facts.parameters.take(name, value),
        "prompt" => facts.asked("user", value),
        "text_prompts" => {
            let _broken = value.items(|prompt| {
                if let Some(text) = prompt.member("text") {
                    facts.asked("user", text);
                }
            });
        }
        // `textToImageParams`, `inPaintingParams`, `imageVariationParams`, …: each has the text under the same name.
        task if task.ends_with("Params") => {
            if let Some(text) = value.member("text") {
                facts.asked("user", text);
            }
        }
        _ => {}
    })
}

pub(super) fn response(body: &Body, facts: &mut Facts) -> Result<(), Malformed> {
    body.members(&RESPONSE, |name, value| match name {
        "images" => {
            facts.spoke = true;
            let _broken = value.items(|image| push(image, facts));
        }
        "artifacts" => {
            facts.spoke = true;
            let _broken = value.items(|artifact| {
                facts.stop(artifact.member("finishReason").and_then(Json::text));
                if let Some(image) = artifact.member("base64") {
                    push(image, facts);
                }
            });
        }
        // A reason stands for an image that was filtered, null for one that was not.
        "finish_reasons" => {
            let _broken = value.items(|reason| {
                if reason.text().is_some() {
                    facts.stop(Some("content_filtered".to_owned()));
                }
            });
        }
        "error" if value.text().is_some() => facts.stop(Some("error".to_owned())),
        _ => facts.take_bedrocks_own(name, value),
    })
}

fn push(image: Json<'_>, facts: &mut Facts) {
    let Some(content) = &mut facts.content else {
        return;
    };
    if content.answered.envelope() {
        content.output.push(Message {
            role: "assistant".into(),
            parts: vec![Part::Blob {
                modality: "image",
                // The body does not say it; the bytes do.
                mime_type: None,
                size: decoded_length(image.source()),
            }],
        });
    }
}
