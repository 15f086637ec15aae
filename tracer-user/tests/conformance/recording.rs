//! One line of the file of recordings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

/// One recorded exchange and what is known about it.
pub(crate) struct Recording {
    pub(crate) id: String,
    /// The operation, or the path of a request that asks for none.
    pub(crate) api: String,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) request: Message,
    pub(crate) status: u16,
    pub(crate) response: Message,
    /// Whether the response came piece by piece.
    pub(crate) streamed: bool,
    pub(crate) expected: Json,
}

/// Fields but those that say how a body is framed, and the body.
pub(crate) struct Message {
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What whoever serves a recording says anew, or never on HTTP/2.
const FRAMING: [&str; 5] = [
    "content-length",
    "transfer-encoding",
    "content-encoding",
    "connection",
    "host",
];

impl Recording {
    /// Whether it asks for an operation of the data plane; management has a host of its own.
    pub(crate) fn asks_for_inference(&self) -> bool {
        !self.host.starts_with("bedrock.")
    }

    /// Whether it is one of agents or knowledge bases.
    pub(crate) fn is_of_an_agent(&self) -> bool {
        self.host.starts_with("bedrock-agent")
    }

    /// Reads all lines.
    pub(crate) fn all(text: &str) -> Vec<Self> {
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| Self::of(&serde_json::from_str(line).expect("each line is JSON")))
            .collect()
    }

    fn of(row: &Json) -> Self {
        let status = row
            .pointer("/response/status")
            .and_then(Json::as_u64)
            .and_then(|status| u16::try_from(status).ok())
            .expect("a status");
        Self {
            id: string(row, "/id"),
            api: string(row, "/expected/api"),
            method: string(row, "/request/method"),
            host: string(row, "/request/host"),
            path: string(row, "/request/path"),
            request: Message::of(&row["request"]),
            status,
            response: Message::of(&row["response"]),
            streamed: row.pointer("/expected/stream") == Some(&Json::Bool(true)),
            expected: row["expected"].clone(),
        }
    }
}

impl Message {
    fn of(side: &Json) -> Self {
        let fields = side["headers"].as_array().cloned().unwrap_or_default();
        Self {
            fields: fields
                .iter()
                .filter_map(|field| Some((field[0].as_str()?.to_owned(), field[1].as_str()?.to_owned())))
                .filter(|(name, _)| !FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name)))
                .collect(),
            body: STANDARD
                .decode(string(side, "/body_b64"))
                .expect("bodies are base64"),
        }
    }
}

fn string(row: &Json, path: &str) -> String {
    row.pointer(path)
        .and_then(Json::as_str)
        .unwrap_or_default()
        .to_owned()
}
