//! An API server as far as two watches need it: real HTTP, chunked answers, and everything that goes wrong with them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Longest wait for a request.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct ApiServer {
    address: SocketAddr,
    desk: Arc<Desk>,
    /// `None` during an outage.
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    pods: Board,
    namespaces: Board,
    version: u64,
    /// What every request for namespaces, and what every other is answered with.
    refusals: (Option<StatusCode>, Option<StatusCode>),
    /// The token that is asked for.
    token: Option<String>,
    /// Requests are taken and never answered.
    is_silent: bool,
    /// Most pods in one answer to a list.
    page: Option<usize>,
}

/// What can be listed and watched.
#[derive(Default)]
struct Board {
    items: Vec<Value>,
    /// Queries of the lists and watches so far.
    lists: Vec<HashMap<String, String>>,
    watches: Vec<HashMap<String, String>>,
    /// The watch under way.
    watch: Option<UnboundedSender<Bytes>>,
}

impl Board {
    fn say(&self, text: &str) {
        let watch = self.watch.as_ref().expect("a watch is under way");
        watch.send(Bytes::copy_from_slice(text.as_bytes())).unwrap();
    }
}

impl ApiServer {
    /// With one namespace, `agents`, which wishes nothing.
    pub(super) fn with(pods: Vec<Value>) -> Self {
        let desk = Arc::new(Desk::default());
        desk.state().pods.items = pods;
        desk.state().namespaces.items = vec![namespace("agents", &json!({}))];
        desk.state().version = 100;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = Self {
            address,
            desk,
            runtime: None,
        };
        server.serve(listener);
        server
    }

    pub(super) fn config(&self) -> kube::Config {
        kube::Config::new(format!("http://{}", self.address).parse().unwrap())
    }

    /// What the next list says.
    pub(super) fn set_pods(&self, pods: Vec<Value>) {
        self.desk.state().pods.items = pods;
    }

    /// What the next list of namespaces says.
    pub(super) fn set_namespaces(&self, namespaces: Vec<Value>) {
        self.desk.state().namespaces.items = namespaces;
    }

    /// Answers every request with this status from now on, or as usual again.
    pub(super) fn refuse(&self, status: Option<StatusCode>) {
        self.desk.state().refusals = (status, status);
    }

    /// The same for requests for namespaces alone.
    pub(super) fn refuse_namespaces(&self, status: Option<StatusCode>) {
        self.desk.state().refusals.0 = status;
    }

    /// Answers only who has this token from now on.
    pub(super) fn ask_for(&self, token: &str) {
        self.desk.state().token = Some(token.to_owned());
    }

    /// Takes requests and never answers from now on, or as usual again.
    pub(super) fn be_silent(&self, is_silent: bool) {
        self.desk.state().is_silent = is_silent;
    }

    /// Tells so many in one answer to a list, and the rest in further ones.
    pub(super) fn turn_pages_of(&self, items: usize) {
        self.desk.state().page = Some(items);
    }

    /// Waits until this many watches on namespaces have begun in all; gives the query of the last.
    pub(super) fn namespace_watches(&self, number: usize) -> HashMap<String, String> {
        self.begun(number, PATIENCE, |state| &state.namespaces)
    }

    /// Waits until this many watches on pods have begun in all; gives the query of the last.
    pub(super) fn watches(&self, number: usize) -> HashMap<String, String> {
        self.watches_within(number, PATIENCE)
    }

    /// The same, with patience of its own.
    pub(super) fn watches_within(&self, number: usize, patience: Duration) -> HashMap<String, String> {
        self.begun(number, patience, |state| &state.pods)
    }

    fn begun(&self, number: usize, patience: Duration, of: fn(&State) -> &Board) -> HashMap<String, String> {
        let (state, _) = self
            .desk
            .arrived
            .wait_timeout_while(self.desk.state(), patience, |state| {
                of(state).watches.len() < number
            })
            .unwrap();
        assert!(of(&state).watches.len() >= number, "no watch came");
        of(&state).watches.last().unwrap().clone()
    }

    pub(super) fn lists(&self) -> Vec<HashMap<String, String>> {
        self.desk.state().pods.lists.clone()
    }

    /// Says something on the watch on pods, in a chunk of its own.
    pub(super) fn say(&self, text: &str) {
        self.desk.state().pods.say(text);
    }

    /// Says something on the watch on namespaces.
    pub(super) fn say_of_namespaces(&self, text: &str) {
        self.desk.state().namespaces.say(text);
    }

    /// Ends the answer to the watch on pods, as servers do every few minutes.
    pub(super) fn hang_up(&self) {
        self.desk.state().pods.watch = None;
    }

    /// Goes away with all connections.
    pub(super) fn go_away(&mut self) {
        self.hang_up();
        self.desk.state().namespaces.watch = None;
        self.runtime.take().unwrap().shutdown_timeout(PATIENCE);
    }

    /// Comes back at the same address.
    pub(super) fn come_back(&mut self) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        // Tokio's socket may take an address whose last connections linger.
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(self.address))
            .unwrap();
        self.serve(listener.into_std().unwrap());
    }

    fn serve(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let desk = Arc::clone(&self.desk);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let is_silent = desk.state().is_silent;
                        let answer = (!is_silent).then(|| desk.answer(&request));
                        async move {
                            match answer {
                                Some(answer) => Ok::<_, Infallible>(answer),
                                None => std::future::pending().await,
                            }
                        }
                    });
                    // A client that goes away is no concern of a server.
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await
                        .ok();
                });
            }
        });
        self.runtime = Some(runtime);
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
        let query: HashMap<String, String> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| {
                let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
                (key.to_owned(), value.into_owned())
            })
            .collect();
        let mut state = self.state();
        let of_namespaces = match request.uri().path() {
            "/api/v1/pods" => false,
            "/api/v1/namespaces" => true,
            other => panic!("{other} is not what geophone may ask for"),
        };
        let token = request
            .headers()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let is_known = state
            .token
            .as_ref()
            .is_none_or(|asked| token.is_some_and(|token| token == format!("Bearer {asked}")));
        let (namespaces_refused, pods_refused) = state.refusals;
        let refusal = if !is_known {
            Some(StatusCode::UNAUTHORIZED)
        } else if of_namespaces {
            namespaces_refused
        } else {
            pods_refused
        };
        if let Some(status) = refusal {
            let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "not you",
                "reason": status.canonical_reason(), "code": status.as_u16()});
            return respond(status, &body);
        }
        let (version, page) = (state.version.to_string(), state.page);
        let (board, kind) = if of_namespaces {
            (&mut state.namespaces, "NamespaceList")
        } else {
            (&mut state.pods, "PodList")
        };
        if query.get("watch").is_none_or(|watch| watch != "true") {
            let begin = query.get("continue").map_or(0, |place| place.parse().unwrap());
            board.lists.push(query);
            let end = page.map_or(board.items.len(), |page| board.items.len().min(begin + page));
            let mut metadata = json!({"resourceVersion": version});
            if end < board.items.len() {
                metadata["continue"] = json!(end.to_string());
            }
            let list = json!({"kind": kind, "apiVersion": "v1", "metadata": metadata,
                "items": board.items.get(begin..end)});
            return respond(StatusCode::OK, &list);
        }
        board.watches.push(query);
        let (sender, receiver) = unbounded_channel();
        board.watch = Some(sender);
        drop(state);
        self.arrived.notify_all();
        let chunks = stream::unfold(receiver, |mut receiver| async {
            let chunk = receiver.recv().await?;
            Some((Ok(Frame::data(chunk)), receiver))
        });
        Response::builder()
            .header("content-type", "application/json")
            .body(StreamBody::new(chunks).boxed())
            .unwrap()
    }
}

fn respond(status: StatusCode, body: &Value) -> Response<BoxBody<Bytes, Infallible>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())).boxed())
        .unwrap()
}

/// A namespace as the API server sends it.
pub(super) fn namespace(name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "100", "annotations": annotations},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"}
    })
}
