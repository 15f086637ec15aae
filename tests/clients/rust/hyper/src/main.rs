//! Calls Bedrock with hyper over rustls: `hyper-client ENDPOINT AUTHORITY h1|h2`. Over HTTP/2 all calls share one
//! connection, over HTTP/1 each has one of its own from a pool.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use protocol::frames::{from_base64, whole};
use protocol::{Call, Seen, encoded, path_segment};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
struct Client(Arc<Inner>);

struct Inner {
    authority: String,
    host: String,
    port: u16,
    connector: TlsConnector,
    connections: Connections,
}

enum Connections {
    /// Idle connections.
    Http1(Mutex<Vec<http1::SendRequest<Full<Bytes>>>>),
    /// The one connection, once it is made.
    Http2(Mutex<Option<http2::SendRequest<Full<Bytes>>>>),
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, authority, version] = arguments.as_slice() else {
        panic!("usage: hyper-client ENDPOINT AUTHORITY h1|h2");
    };
    let uri: Uri = endpoint.parse().expect("the endpoint is a URI");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).expect("the authority reads") {
        roots.add(certificate.expect("PEM")).expect("a certificate");
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connections = match version.as_str() {
        "h1" => Connections::Http1(Mutex::default()),
        "h2" => Connections::Http2(Mutex::default()),
        other => panic!("{other} is neither h1 nor h2"),
    };
    config.alpn_protocols = vec![match connections {
        Connections::Http1(_) => b"http/1.1".to_vec(),
        Connections::Http2(_) => b"h2".to_vec(),
    }];
    let client = Client(Arc::new(Inner {
        authority: uri.authority().expect("an authority").to_string(),
        host: uri.host().expect("a host").to_owned(),
        port: uri.port_u16().unwrap_or(443),
        connector: TlsConnector::from(Arc::new(config)),
        connections,
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    protocol::serve(&runtime, move |call| {
        let client = client.clone();
        async move {
            let mut seen = Seen::of(&call);
            if let Err(failure) = client.make(&call, &mut seen).await {
                let mut message = failure.to_string();
                let mut cause = failure.source();
                while let Some(error) = cause {
                    message = format!("{message}: {error}");
                    cause = error.source();
                }
                seen.error("Incomplete", &message);
            }
            seen
        }
    });
}

impl Client {
    async fn make(&self, call: &Call, seen: &mut Seen) -> Result<(), Failure> {
        let body = Bytes::from(call.body.to_string());
        let path = format!(
            "/model/{}/{}",
            encoded(&call.model),
            path_segment(&call.operation)
        );
        let mut request = Request::post(match self.0.connections {
            Connections::Http1(_) => path,
            Connections::Http2(_) => format!("https://{}{path}", self.0.authority),
        })
        .header("content-type", "application/json")
        .header("authorization", "Bearer bedrock-api-key-that-nobody-may-store");
        if matches!(self.0.connections, Connections::Http1(_)) {
            request = request.header("host", &self.0.authority);
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body))?;
        match &self.0.connections {
            Connections::Http1(idle) => {
                let kept = idle.lock().await.pop().filter(http1::SendRequest::is_ready);
                let mut connection = match kept {
                    Some(connection) => connection,
                    None => self.http1().await?,
                };
                hear(connection.send_request(request).await?, call, seen).await?;
                if connection.ready().await.is_ok() {
                    idle.lock().await.push(connection);
                }
                Ok(())
            }
            Connections::Http2(shared) => {
                let mut connection = {
                    let mut shared = shared.lock().await;
                    match shared.as_ref().filter(|connection| !connection.is_closed()) {
                        Some(connection) => connection.clone(),
                        None => shared.insert(self.http2().await?).clone(),
                    }
                };
                connection.ready().await?;
                hear(connection.send_request(request).await?, call, seen).await
            }
        }
    }

    async fn http1(&self) -> Result<http1::SendRequest<Full<Bytes>>, Failure> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.connect().await?)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn http2(&self) -> Result<http2::SendRequest<Full<Bytes>>, Failure> {
        let stream = TokioIo::new(self.connect().await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let Inner {
            host,
            port,
            connector,
            ..
        } = &*self.0;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.set_nodelay(true)?;
        Ok(connector
            .connect(ServerName::try_from(host.clone())?, stream)
            .await?)
    }
}

/// Reads the response to its end, or as far as the call wants.
async fn hear(response: Response<Incoming>, call: &Call, seen: &mut Seen) -> Result<(), Failure> {
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let status = response.status().as_u16();
    seen.set("status", status);
    seen.set_some("request_id", header("x-amzn-requestid"));
    let kind = header("x-amzn-errortype");
    let streams = header("content-type").as_deref() == Some("application/vnd.amazon.eventstream");
    let mut body = response.into_body();
    let mut held = Vec::new();
    while let Some(frame) = body.frame().await {
        held.extend_from_slice(frame?.data_ref().map_or(&[], |data| data));
        if !streams {
            continue;
        }
        for frame in whole(&mut held) {
            let count = seen.event();
            if frame.exception {
                seen.error(&frame.kind, frame.payload["message"].as_str().unwrap_or_default());
            } else if let ("chunk", Some(bytes)) = (frame.kind.as_str(), frame.payload["bytes"].as_str()) {
                seen.inner(&serde_json::from_slice(&from_base64(bytes)).unwrap_or_default());
            } else {
                let mut event = Value::default();
                event[&frame.kind] = frame.payload;
                seen.inner(&event);
            }
            if Some(count) == call.take {
                return Ok(());
            }
        }
    }
    if streams {
        return Ok(());
    }
    let answer: Value = serde_json::from_slice(&held)?;
    if status != 200 {
        let kind = kind.unwrap_or_default();
        seen.error(
            kind.split(':').next().unwrap_or_default(),
            answer["message"].as_str().unwrap_or_default(),
        );
    } else if call.operation == "Converse" {
        for block in answer["output"]["message"]["content"]
            .as_array()
            .into_iter()
            .flatten()
        {
            seen.text(block["text"].as_str().unwrap_or_default());
        }
        seen.set("stop_reason", answer["stopReason"].clone());
        seen.set("usage", answer["usage"].clone());
    }
    seen.set("body", answer);
    Ok(())
}
