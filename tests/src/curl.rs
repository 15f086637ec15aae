//! Requests by curl: one process, several requests on one connection.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::Deserialize;

use crate::calls::Call;
use crate::fake::FakeBedrock;

/// What curl saw of one request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Seen {
    /// HTTP status.
    pub status: u16,
    /// `x-amzn-RequestId`.
    pub request_id: String,
}

/// The name in the fake's certificate that AWS's own endpoint has.
pub const AWS_HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";

/// How curl makes several requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// HTTP/1, one after the other.
    Http1,
    /// HTTP/2, one after the other.
    Http2,
    /// HTTP/2, all at once.
    Http2Parallel,
}

/// A command line that makes the calls by AWS's own host name, signed as AWS wants it. It prints one line of JSON per call
/// ([`Seen`]), in the order they end; configuration and bodies are kept in `directory`.
pub fn command(fake: &FakeBedrock, calls: &[Call], manner: Manner, directory: &Path) -> Result<Command> {
    let port = fake.address().port();
    let version = match manner {
        Manner::Http1 => "http1.1",
        Manner::Http2 | Manner::Http2Parallel => "http2",
    };
    let mut configuration = String::new();
    for (index, call) in calls.iter().enumerate() {
        let body = directory.join(format!("request-{index}.json"));
        std::fs::write(&body, call.body().to_string())?;
        if index > 0 {
            configuration.push_str("next\n");
        }
        let authority = fake.authority();
        let (authority, body) = (authority.display(), body.display());
        writeln!(
            configuration,
            r#"silent
show-error
{version}
compressed
cacert = "{authority}"
connect-to = "{AWS_HOST}:{port}:127.0.0.1:{port}"
url = "https://{AWS_HOST}:{port}{path}"
aws-sigv4 = "aws:amz:us-east-1:bedrock"
user = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
header = "Content-Type: application/json"
header = "Expect:"
data-binary = "@{body}"
output = "/dev/null"
write-out = "{{\"status\": %{{response_code}}, \"request_id\": \"%header{{x-amzn-requestid}}\"}}\n""#,
            path = call.path(),
        )?;
        for (name, value) in &call.headers {
            writeln!(configuration, r#"header = "{name}: {value}""#)?;
        }
    }
    let file = directory.join("curl.conf");
    std::fs::write(&file, configuration)?;
    let mut command = Command::new("curl");
    if manner == Manner::Http2Parallel {
        command.args(["--parallel", "--parallel-max", "300"]);
    }
    command.arg("--config").arg(file);
    Ok(command)
}

/// Reads what the command printed.
pub fn read(output: &str) -> Result<Vec<Seen>> {
    output
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}
