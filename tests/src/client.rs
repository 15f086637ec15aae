//! Drives the client programs of `tests/clients`: real SDKs and real TLS libraries, in processes of their own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::calls::Call;
use crate::environment::{built_client, client_file, python};
use crate::fake::FakeBedrock;
use crate::program::{Program, Signal};

/// Which client program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// boto3: synchronous, a keep-alive pool, threads. HTTP/1.
    Boto3,
    /// boto3's clients of agents, knowledge bases and AgentCore. HTTP/1.
    Boto3Agents,
    /// aiobotocore: asyncio over memory BIOs. HTTP/1.
    Aiobotocore,
    /// httpx: asyncio, all calls on one HTTP/2 connection.
    Httpx,
    /// Anthropic's SDK for Python: Claude's own bodies by InvokeModel, and Anthropic's own operation. HTTP/1.
    AnthropicPython,
    /// `OpenAI`'s SDK for Python, with Chat Completions alone. HTTP/1.
    OpenAiPython,
    /// LiteLLM: its own requests, over httpx. HTTP/1.
    LiteLlm,
    /// `LangChain`'s `ChatBedrockConverse`, over boto3. HTTP/1.
    LangChain,
    /// Strands Agents: an agent that calls until it is done, over boto3. HTTP/1.
    Strands,
    /// node's `https`. HTTP/1.
    Node,
    /// node's `fetch`. HTTP/1.
    NodeFetch,
    /// AWS's SDK for JavaScript: HTTP/2, a connection for every call.
    JavaScriptSdk,
    /// Anthropic's SDK for JavaScript, with Claude's own bodies alone. HTTP/1.
    AnthropicJavaScript,
    /// Bun's `fetch`: a stripped program with BoringSSL inside. HTTP/1.
    Bun,
    /// Deno's `fetch`: a stripped program with rustls inside. HTTP/2.
    Deno,
    /// AWS's SDK for Rust, as a program is released, or without symbols. HTTP/2, connections shared.
    RustSdk {
        /// Without symbols.
        stripped: bool,
    },
    /// hyper over rustls; over HTTP/2 all calls share one connection.
    Hyper(Provider, Build, Http),
    /// Go's net/http; over HTTP/2 all calls share one connection.
    Go {
        /// Without symbols.
        stripped: bool,
        /// Version of HTTP.
        http: Http,
    },
}

/// Who does the cryptography of rustls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// ring.
    Ring,
    /// aws-lc-rs.
    AwsLc,
}

/// How a Rust program was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// Not optimised.
    Debug,
    /// Cargo's release profile.
    Release,
    /// Link-time optimisation across all crates, one unit, `panic = "abort"`.
    Fat,
    /// The same without symbols.
    FatStripped,
}

/// Version of HTTP that a client with a choice is told to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

impl Kind {
    /// The command line that runs it against a fake.
    pub fn command(self, fake: &FakeBedrock) -> Result<Command> {
        self.command_to(&fake.endpoint(), &fake.authority())
    }

    /// The command line that runs it against a fake of which it is known where it is and who signed its certificate.
    pub fn command_to(self, endpoint: &str, authority: &Path) -> Result<Command> {
        let mut command = match self {
            Kind::Boto3 => python_program("boto3_client.py")?,
            Kind::Boto3Agents => python_program("boto3_agents_client.py")?,
            Kind::Aiobotocore => python_program("aiobotocore_client.py")?,
            Kind::Httpx => python_program("httpx_client.py")?,
            Kind::AnthropicPython => framework("anthropic_client.py")?,
            Kind::OpenAiPython => framework("openai_client.py")?,
            Kind::LiteLlm => framework("litellm_client.py")?,
            Kind::LangChain => framework("langchain_client.py")?,
            Kind::Strands => framework("strands_client.py")?,
            Kind::Node => script("node", "https_client.cjs"),
            Kind::NodeFetch => script("node", "fetch_client.cjs"),
            Kind::JavaScriptSdk => with_packages(script("node", "sdk_client.cjs"))?,
            Kind::AnthropicJavaScript => with_packages(script("node", "anthropic_client.cjs"))?,
            Kind::Bun => script(package("@oven/bun-linux-x64/bin/bun")?, "fetch_client.cjs"),
            Kind::Deno => {
                let mut command = Command::new(package("@deno/linux-x64-glibc/deno")?);
                command
                    .args(["run", "--quiet", "--no-config", "--allow-all"])
                    .arg(client_file("node/fetch_client.cjs"));
                command
            }
            Kind::RustSdk { stripped: false } => Command::new(built_client("rust", "sdk-release")?),
            Kind::RustSdk { stripped: true } => Command::new(built_client("rust", "sdk-release-stripped")?),
            Kind::Hyper(provider, build, _) => Command::new(built_client("rust", &hyper(provider, build))?),
            Kind::Go { stripped: false, .. } => Command::new(built_client("go", "client")?),
            Kind::Go { stripped: true, .. } => Command::new(built_client("go", "client-stripped")?),
        };
        command.arg(endpoint).arg(authority);
        if let Kind::Hyper(.., http) | Kind::Go { http, .. } = self {
            command.arg(match http {
                Http::One => "h1",
                Http::Two => "h2",
            });
        }
        // Each reads one of these: node and Bun, Deno, everything over rustls with the system's authorities.
        for variable in ["NODE_EXTRA_CA_CERTS", "DENO_CERT", "SSL_CERT_FILE"] {
            command.env(variable, authority);
        }
        alone(&mut command);
        Ok(command)
    }

    /// Whether it speaks HTTP/2 with a server that does.
    pub fn speaks_http2(self) -> bool {
        match self {
            Kind::Httpx | Kind::JavaScriptSdk | Kind::Deno | Kind::RustSdk { .. } => true,
            Kind::Hyper(.., http) | Kind::Go { http, .. } => http == Http::Two,
            Kind::Boto3
            | Kind::Boto3Agents
            | Kind::Aiobotocore
            | Kind::AnthropicPython
            | Kind::OpenAiPython
            | Kind::LiteLlm
            | Kind::LangChain
            | Kind::Strands
            | Kind::Node
            | Kind::NodeFetch
            | Kind::AnthropicJavaScript
            | Kind::Bun => false,
        }
    }

    /// Whether it says a path that it has said before on an HTTP/2 connection by a reference alone (RFC 7541), so that
    /// nobody understands it who was not there.
    pub fn refers_to_paths(self) -> bool {
        matches!(self, Kind::Httpx | Kind::Go { http: Http::Two, .. })
    }

    /// Whether all its calls over HTTP/2 share connections.
    pub fn multiplexes(self) -> bool {
        self.speaks_http2() && self != Kind::JavaScriptSdk
    }
}

/// Name of the file that `cargo xtask setup` builds.
fn hyper(provider: Provider, build: Build) -> String {
    let provider = match provider {
        Provider::Ring => "ring",
        Provider::AwsLc => "aws-lc",
    };
    let build = match build {
        Build::Debug => "debug",
        Build::Release => "release",
        Build::Fat => "fat",
        Build::FatStripped => "fat-stripped",
    };
    format!("hyper-{provider}-{build}")
}

fn script(program: impl AsRef<OsStr>, file: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(client_file(&format!("node/{file}")));
    command
}

/// Something that an npm package holds.
fn package(file: &str) -> Result<PathBuf> {
    built_client("node", &format!("node_modules/{file}"))
}

fn with_packages(mut command: Command) -> Result<Command> {
    command.env("NODE_PATH", built_client("node", "node_modules")?);
    Ok(command)
}

/// Neither a person's own AWS settings nor the metadata service may change what is sent.
fn alone(command: &mut Command) {
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}

fn python_program(file: &str) -> Result<Command> {
    let mut command = Command::new(python()?);
    command.arg(client_file(file)).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// A program with the packages of frameworks; it shares the protocol with the others.
fn framework(file: &str) -> Result<Command> {
    let mut command = Command::new(built_client("frameworks", "bin/python")?);
    command
        .arg(client_file(&format!("frameworks/{file}")))
        .env("PYTHONPATH", client_file(""))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Its prices are of no interest, and would be looked for elsewhere.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    Ok(command)
}

/// What a client saw of one call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Seen {
    /// Index of the call in its batch.
    pub id: usize,
    /// Request id of the (last) response.
    pub request_id: Option<String>,
    /// HTTP status of the (last) response.
    pub status: Option<u16>,
    /// Attempts the SDK made.
    pub attempts: Option<u32>,
    /// Events of a stream.
    pub events: u32,
    /// Answer text of Converse and of streams.
    pub text: String,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// Usage of Converse and of streams.
    pub usage: Option<Value>,
    /// Tool call of Converse.
    pub tool: Option<Value>,
    /// `amazon-bedrock-invocationMetrics` of a stream.
    pub metrics: Option<Value>,
    /// Body of InvokeModel.
    pub body: Option<Value>,
    /// Code or class of the error.
    pub error: Option<String>,
    /// Text of the error.
    pub message: Option<String>,
}

/// A running client that waits for batches of calls.
#[derive(Debug)]
pub struct Client {
    program: Program,
    pid: u32,
}

impl Client {
    /// Starts a client program and waits until it is ready.
    pub fn start(kind: Kind, fake: &FakeBedrock) -> Result<Self> {
        Self::run(&mut kind.command(fake)?)
    }

    /// Runs a command line that ends in a client program (a tracer may stand before it) and waits until it is ready.
    pub fn run(command: &mut Command) -> Result<Self> {
        let program = Program::start("client", command)?;
        let ready = program
            .line()?
            .with_context(|| format!("the client ended before it was ready:\n{}", program.stderr()))?;
        let ready: Value =
            serde_json::from_str(&ready).with_context(|| format!("not a line of the protocol: {ready}"))?;
        let pid = ready["ready"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok())
            .context("the client did not tell its pid")?;
        Ok(Self { program, pid })
    }

    /// Process id of the client itself, also when something else was started to run it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The process that was started.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Makes the calls, so many at a time, and waits for all of them. Ordered as the calls are.
    pub fn make(&mut self, calls: &[Call], threads: usize) -> Result<Vec<Seen>> {
        self.send(calls, &json!({"threads": threads}))?;
        self.collect(calls.len())
    }

    /// The same in a forked child (boto3 only); tells the child's pid beside what it saw.
    pub fn make_in_child(&mut self, calls: &[Call]) -> Result<(u32, Vec<Seen>)> {
        self.send(calls, &json!({"threads": 1, "fork": true}))?;
        let line = self.program.line()?.context("the client ended")?;
        let child: Value = serde_json::from_str(&line)?;
        let pid = child["child"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok())
            .with_context(|| format!("expected the pid of a child, not {line}"))?;
        Ok((pid, self.collect(calls.len())?))
    }

    /// Hands over calls without waiting.
    pub fn send(&mut self, calls: &[Call], options: &Value) -> Result<()> {
        let mut batch = options.clone();
        batch["calls"] = calls
            .iter()
            .enumerate()
            .map(|(id, call)| call.to_json(id))
            .collect();
        self.program.tell(&batch.to_string())
    }

    /// Hands over calls of a client's own kind, and waits for what it tells of each.
    pub fn exchange(&mut self, calls: &Value) -> Result<Vec<Value>> {
        self.program.tell(&json!({"calls": calls}).to_string())?;
        self.told()
    }

    /// Waits for the results of calls handed over before.
    pub fn collect(&mut self, count: usize) -> Result<Vec<Seen>> {
        let mut seen = self
            .told()?
            .into_iter()
            .map(serde_json::from_value)
            .collect::<Result<Vec<Seen>, _>>()?;
        if seen.len() != count {
            bail!(
                "the client told of {} calls out of {count}:\n{}",
                seen.len(),
                self.program.stderr()
            );
        }
        seen.sort_by_key(|seen| seen.id);
        Ok(seen)
    }

    /// Waits for so many results of a batch, whichever come first.
    pub fn collect_first(&mut self, count: usize) -> Result<Vec<Seen>> {
        (0..count)
            .map(|_| Ok(serde_json::from_value(self.next()?)?))
            .collect()
    }

    /// Tells it that no batch follows: it ends as soon as it has made the calls that it was given.
    pub fn ask_to_end(&mut self) {
        self.program.close_stdin();
    }

    /// Kills it, whatever it does.
    pub fn kill(mut self) -> Result<()> {
        self.program.signal(Signal::KILL)?;
        self.program.wait()?;
        Ok(())
    }

    /// Lines of the protocol up to the end of the batch.
    fn told(&mut self) -> Result<Vec<Value>> {
        let mut told = Vec::new();
        loop {
            let value = self.next()?;
            if value.get("done").is_some() {
                return Ok(told);
            }
            told.push(value);
        }
    }

    /// The next line of the protocol.
    fn next(&mut self) -> Result<Value> {
        let line = self.program.line()?.with_context(|| {
            format!(
                "the client ended in the middle of its calls:\n{}",
                self.program.stderr()
            )
        })?;
        serde_json::from_str(&line).with_context(|| format!("not a line of the protocol: {line}"))
    }

    /// Lets it end, and wants it to end well; what was said on standard error.
    pub fn finish(mut self) -> Result<String> {
        self.program.succeed()?;
        Ok(self.program.stderr())
    }

    /// Lets it end; what came of it.
    pub fn end(mut self) -> Result<std::process::ExitStatus> {
        self.program.wait()
    }
}
