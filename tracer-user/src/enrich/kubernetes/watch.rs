//! The thread that listens to the API server.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::Error;
use super::directory::Directory;
use super::object::{self, Entry, NamespaceObject, PodObject, namespace_resource, resource};
use crate::counters::Counter;
use crate::rights::{self, Rights};

/// Longest wait for a connection to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest silence of the API server, after which it counts as away: a proxy that lost it may hold a connection for ever.
/// Servers end a watch on which nothing happens after 290 seconds, as they are asked to.
const SILENCE_MAX: Duration = Duration::from_mins(5);

/// What both sides know.
#[derive(Debug, Default)]
pub(super) struct Shared {
    directory: Mutex<Directory>,
    changed: Condvar,
    /// Goes up with every change of the directory.
    pub(super) version: AtomicU64,
    closing: Notify,
}

impl Shared {
    /// The directory as it is now.
    pub(super) fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the directory is as wished, for no longer than `patience`. Says whether it is.
    pub(super) fn wait(&self, patience: Duration, wished: impl Fn(&Directory) -> bool) -> bool {
        let (directory, _) = self
            .changed
            .wait_timeout_while(self.directory(), patience, |directory| !wished(directory))
            .unwrap_or_else(PoisonError::into_inner);
        wished(&directory)
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.closing.notify_one();
    }

    fn take(&self, event: Event<PodObject>) {
        self.change(|directory| match event {
            Event::Init => {
                directory.list_begins();
                false
            }
            Event::InitApply(pod) | Event::Apply(pod) => {
                Entry::of(pod).is_some_and(|entry| directory.apply(entry))
            }
            Event::InitDone => {
                directory.list_ends();
                true
            }
            Event::Delete(pod) => {
                directory.delete(pod.metadata.uid.as_deref().unwrap_or_default());
                false
            }
        });
    }

    fn take_namespace(&self, event: Event<NamespaceObject>) {
        self.change(|directory| match event {
            Event::Init => {
                directory.namespaces().list_begins();
                false
            }
            Event::InitApply(object) | Event::Apply(object) => object::namespace(object)
                .is_some_and(|(name, wishes)| directory.apply_namespace(name, wishes)),
            Event::InitDone => {
                directory.namespaces().list_ends();
                true
            }
            Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                directory.namespaces().delete(&name);
                false
            }
        });
    }

    /// Changes the directory; `change` says whether that is news to anybody.
    fn change(&self, change: impl FnOnce(&mut Directory) -> bool) {
        if change(&mut self.directory()) {
            self.version.fetch_add(1, Ordering::Release);
        }
        self.changed.notify_all();
    }

    fn failed(&self) {
        self.directory().count(Counter::PodWatchFailures);
        self.changed.notify_all();
    }
}

/// An event loop for one thread.
pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// The settings with bounds on all that may never come.
pub(super) fn patient(mut config: Config) -> Config {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout.get_or_insert(SILENCE_MAX);
    // The client would ask a busy server again for minutes and tell nobody: asking again is the watcher's work.
    config.default_retry = false;
    // Or the time that a connection was not used before a request would count as well.
    config.reset_reader_on_write = true;
    config
}

/// Starts to listen.
pub(super) fn start(
    node: &str,
    config: Config,
    runtime: Runtime,
    shared: Arc<Shared>,
) -> Result<JoinHandle<()>, Error> {
    let client = {
        let _inside = runtime.enter();
        Client::try_from(patient(config)).map_err(Box::new)?
    };
    let node = node.to_owned();
    // A token or a key may be renewed, in a file that is closed to others.
    let thread = rights::spawn("pods", Rights::READING, move || {
        runtime.block_on(async {
            tokio::select! {
                () = shared.closing.notified() => {}
                () = follow(client, &node, &shared) => {}
            }
        });
        // Name look-ups run on threads that would be waited for.
        runtime.shutdown_background();
    })?;
    Ok(thread)
}

/// Follows the pods of the node, and the namespaces, for as long as it takes.
async fn follow(client: Client, node: &str, shared: &Shared) {
    let pods: Api<PodObject> = Api::all_with(client.clone(), &resource());
    let wanted = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let namespaces: Api<NamespaceObject> = Api::all_with(client, &namespace_resource());
    tokio::join!(
        listen(watcher(pods, wanted), "pods", shared, |event| shared.take(event)),
        listen(
            watcher(namespaces, watcher::Config::default()),
            "namespaces",
            shared,
            |event| shared.take_namespace(event)
        ),
    );
}

/// Lists, then watches, and begins again as often as it takes.
async fn listen<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    what: &str,
    shared: &Shared,
    take: impl Fn(Event<K>),
) {
    let mut events = pin!(events.default_backoff());
    let mut is_away = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                // That a list is asked for says nothing yet.
                if is_away && !matches!(event, Event::Init) {
                    tracing::info!("the API server tells of {what} again");
                    is_away = false;
                }
                take(event);
            }
            // The server forgot where we were, as it does after a while: a new list follows.
            Err(watcher::Error::WatchError(status)) if status.code == GONE => {
                tracing::debug!("the watch on {what} begins anew");
            }
            Err(error) => {
                if is_away {
                    tracing::debug!(%error, "the API server still does not tell of {what}");
                } else {
                    tracing::warn!(
                        %error,
                        remedy = remedy(&error),
                        "the API server does not tell of {what}; what is known of them stays, and it is asked again"
                    );
                    is_away = true;
                }
                shared.failed();
            }
        }
    }
}

/// HTTP status of a resource version that is too old.
const GONE: u16 = 410;

fn remedy(error: &watcher::Error) -> &'static str {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    };
    match status.map_or(0, |status| status.code) {
        401 => "check the service account's token: is automountServiceAccountToken on?",
        403 => {
            "let the service account list and watch pods and namespaces: see the ClusterRole in deploy/kubernetes"
        }
        _ => "check that this node reaches the API server",
    }
}
