//! The calls under way: from HTTP events to [`Call`]s, and what becomes of each connection.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::counters::Counter;
use crate::event::{ConnectionKey, Monotonic, Verdict};
use crate::http::{Completion, ExchangeNumber, HttpEvent, HttpSink, Version};

use super::attempt::Begun;
use super::call::Call;
use super::exchange::Exchange;
use super::route::{self, Recognition};
use super::settings::Settings;
use super::shares::{CallKey, Shares};
use super::under_way::UnderWay;

/// Most connections of which something is remembered. The oldest is forgotten first; it is only judged anew.
const MAX_CONNECTIONS: usize = 16_384;

/// Most calls under way at once. The oldest of the process with most of them comes out as it is.
const MAX_CALLS: usize = 8_192;

/// Most that is kept of all bodies together; a process alone gets half of it. Frames, and what is put together of them, have
/// caps of their own, which together may come to more: then the call that keeps most comes out as it is, of the process that
/// keeps most.
const MAX_BODIES: usize = 256 << 20;

/// So many foreign requests on an HTTP/2 connection, and none of Bedrock's, make it foreign: it may serve several hosts, and
/// several paths of a gateway. (A connection of HTTP/1 is told by its first.)
const FOREIGN_MAX: u32 = 3;

/// So many exchanges whose request was not understood, and none of Bedrock's, make a connection foreign. A client that asks
/// for the same path again and again does not spell it out a second time.
const UNSEEN_MAX: u32 = 32;

/// Something found. The owner takes it after every event.
#[derive(Debug)]
pub enum Output {
    /// An attempt of a call has begun; its [`Output::Call`] follows.
    Begun(Begun),
    /// A call is finished or given up.
    Call(Box<Call>),
    /// A connection was recognised.
    Verdict(ConnectionKey, Verdict),
    /// Something to be counted.
    Count(Counter, u64),
}

/// The calls under way on all connections.
#[derive(Debug, Default)]
pub struct Calls {
    settings: Settings,
    connections: HashMap<ConnectionKey, Connection>,
    /// Connections in the order they were first heard of.
    order: VecDeque<ConnectionKey>,
    // Ordered, so that every walk has one order, live and replayed.
    exchanges: BTreeMap<CallKey, Exchange>,
    /// What each process has of them.
    shares: Shares,
    /// Exchanges under way that are known to be no call, or that were told already.
    others: BTreeSet<CallKey>,
    outputs: Vec<Output>,
}

#[derive(Debug, Default)]
struct Connection {
    server_name: Option<String>,
    verdict: Option<Verdict>,
    /// Only one direction of it is seen.
    unpaired: bool,
    /// Requests on it that were not Bedrock's.
    foreign: u32,
    /// Exchanges on it of which nothing showed that they were Bedrock's.
    unseen: u32,
}

impl Calls {
    /// No calls yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Reads by other settings what begins from now on.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// How many connections something is known of.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many exchanges are under way, those that are no calls included.
    pub fn exchanges(&self) -> usize {
        self.exchanges.len() + self.others.len()
    }

    /// The TLS handshake named the server.
    pub fn server_name(&mut self, connection: ConnectionKey, name: &str) {
        if name.len() > 255 {
            return;
        }
        self.connection(connection).server_name = Some(name.to_owned());
        if route::is_data_plane(name) {
            self.judge(connection, Verdict::Want);
        }
    }

    /// What was found since the last time.
    pub fn outputs(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.outputs.drain(..)
    }

    /// The calls that have not ended, in the order of their connections.
    pub fn under_way(&self) -> impl Iterator<Item = UnderWay<'_>> {
        self.exchanges
            .values()
            .filter(|exchange| exchange.is_certain())
            .map(Exchange::under_way)
    }

    fn connection(&mut self, key: ConnectionKey) -> &mut Connection {
        if !self.connections.contains_key(&key) {
            self.make_room();
            self.order.push_back(key);
        }
        self.connections.entry(key).or_default()
    }

    fn make_room(&mut self) {
        while self.connections.len() >= MAX_CONNECTIONS {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.connections.remove(&oldest);
        }
        // Names of connections long gone.
        if self.order.len() >= 2 * MAX_CONNECTIONS {
            let connections = &self.connections;
            self.order.retain(|key| connections.contains_key(key));
        }
    }

    /// Tells a verdict once; a connection that was ignored may still turn out to be wanted, never the other way round.
    fn judge(&mut self, key: ConnectionKey, verdict: Verdict) {
        let connection = self.connection(key);
        let news = match connection.verdict {
            None => true,
            Some(Verdict::Ignore) => verdict == Verdict::Want,
            Some(Verdict::Want) => false,
        };
        if news {
            connection.verdict = Some(verdict);
            self.outputs.push(Output::Count(
                match verdict {
                    Verdict::Want => Counter::ConnectionsWanted,
                    Verdict::Ignore => Counter::ConnectionsIgnored,
                },
                1,
            ));
            self.outputs.push(Output::Verdict(key, verdict));
        }
    }

    fn request(
        &mut self,
        connection: ConnectionKey,
        number: ExchangeNumber,
        head: &crate::http::RequestHead<'_>,
        time: Monotonic,
        thread: u32,
    ) {
        let server_name = self
            .connections
            .get(&connection)
            .and_then(|known| known.server_name.as_deref());
        let recognition = route::recognise(head, server_name);
        if !matches!(recognition, Recognition::Call(_)) {
            self.pass_over((connection, number));
        }
        match recognition {
            Recognition::Call(route) => {
                let exchange = Exchange::new(connection, number, *route, head, time, thread, &self.settings);
                self.begin(connection, number, exchange, time);
            }
            Recognition::Housekeeping => self.judge(connection, Verdict::Want),
            Recognition::ControlPlane | Recognition::Foreign if head.version == Version::Http2 => {
                self.foreign_exchange(connection);
            }
            Recognition::ControlPlane | Recognition::Foreign => self.judge(connection, Verdict::Ignore),
        }
    }

    /// Another request that is not Bedrock's, on a connection that may carry one all the same.
    fn foreign_exchange(&mut self, connection: ConnectionKey) {
        let known = self.connection(connection);
        known.foreign = known.foreign.saturating_add(1);
        if known.foreign >= FOREIGN_MAX {
            self.judge(connection, Verdict::Ignore);
        }
    }

    /// Another exchange of which nobody can say whose it was.
    fn unseen_exchange(&mut self, connection: ConnectionKey) {
        let known = self.connection(connection);
        known.unseen = known.unseen.saturating_add(1);
        if known.unseen >= UNSEEN_MAX {
            self.judge(connection, Verdict::Ignore);
        }
    }

    /// An exchange whose request was not seen, or not understood: if it is plainly Bedrock's, what it says is told.
    fn unseen(&mut self, connection: ConnectionKey, number: ExchangeNumber, event: &HttpEvent<'_>) {
        let (exchange, time) = match event {
            HttpEvent::Response { head, time } => (
                Exchange::of_response(connection, number, head, *time, &self.settings),
                *time,
            ),
            HttpEvent::ResponseBody { time, .. } => (
                Some(Exchange::of_body(connection, number, *time, &self.settings)),
                *time,
            ),
            HttpEvent::Request { .. }
            | HttpEvent::RequestBody { .. }
            | HttpEvent::RequestEnd { .. }
            | HttpEvent::End { .. } => return,
        };
        if let Some(exchange) = exchange {
            self.begin(connection, number, exchange, time);
        } else {
            self.pass_over((connection, number));
            self.unseen_exchange(connection);
        }
    }

    fn begin(
        &mut self,
        connection: ConnectionKey,
        number: ExchangeNumber,
        mut exchange: Exchange,
        time: Monotonic,
    ) {
        if exchange.is_certain() {
            self.judge(connection, Verdict::Want);
        }
        if self.connection(connection).unpaired {
            exchange.set_unpaired();
        }
        self.make_room_for_call(time);
        self.shares.begin((connection, number), time);
        self.outputs.extend(exchange.attempt().map(Output::Begun));
        self.exchanges.insert((connection, number), exchange);
    }

    fn make_room_for_call(&mut self, time: Monotonic) {
        if self.shares.calls() < MAX_CALLS {
            return;
        }
        if let Some(call) = self.shares.first_to_go() {
            self.evict(call, time);
        }
    }

    fn make_room_for_bodies(&mut self, time: Monotonic) {
        while self.shares.held() > MAX_BODIES
            && let Some(process) = self.shares.heaviest()
        {
            let of_process = |((connection, _), _): &(&CallKey, &Exchange)| connection.process == process;
            let calls = self.exchanges.iter().filter(of_process);
            let heaviest = calls.max_by_key(|(_, exchange)| exchange.held());
            let Some((call, _)) = heaviest.filter(|(_, exchange)| exchange.held() > 0) else {
                return;
            };
            self.evict(*call, time);
        }
    }

    /// A call comes out as it is. What still comes of it is no call of its own.
    fn evict(&mut self, call: CallKey, time: Monotonic) {
        let (connection, number) = call;
        if let Some(phase) = self.exchanges.get(&call).map(Exchange::phase) {
            self.end(connection, number, Completion::Evicted(phase), time);
            self.pass_over(call);
        }
    }

    /// Nothing that comes of this exchange is looked into.
    fn pass_over(&mut self, call: CallKey) {
        self.others.insert(call);
        if self.others.len() > MAX_CALLS {
            self.others.pop_first();
        }
    }

    fn end(
        &mut self,
        connection: ConnectionKey,
        number: ExchangeNumber,
        completion: Completion,
        time: Monotonic,
    ) {
        let Some(exchange) = self.exchanges.remove(&(connection, number)) else {
            return;
        };
        self.shares
            .end((connection, number), exchange.begun(), exchange.held());
        let finished = exchange.finish(completion, time, &mut |counter, count| {
            self.outputs.push(Output::Count(counter, count));
        });
        if let Some(call) = finished {
            self.judge(connection, Verdict::Want);
            self.outputs.push(Output::Call(Box::new(call)));
        } else {
            self.unseen_exchange(connection);
        }
    }
}

impl HttpSink for Calls {
    fn http(&mut self, connection: ConnectionKey, number: ExchangeNumber, event: HttpEvent<'_>) {
        if let HttpEvent::Request { head, time, thread } = &event {
            self.request(connection, number, head, *time, *thread);
            return;
        }
        if let HttpEvent::End { completion, time } = event {
            self.others.remove(&(connection, number));
            self.end(connection, number, completion, time);
            return;
        }
        if !self.exchanges.contains_key(&(connection, number)) && !self.others.contains(&(connection, number))
        {
            self.unseen(connection, number, &event);
        }
        let Some(exchange) = self.exchanges.get_mut(&(connection, number)) else {
            return;
        };
        let time = event.time();
        let (before, was_certain) = (exchange.held(), exchange.is_certain());
        let budget = self.shares.budget(connection.process, MAX_BODIES);
        match event {
            HttpEvent::Request { .. } | HttpEvent::End { .. } => {}
            HttpEvent::RequestBody { part, .. } => exchange.request_body(&part, budget),
            HttpEvent::RequestEnd { time } => {
                let is_known_now = exchange.request_end(time);
                if is_known_now {
                    self.outputs.extend(exchange.attempt().map(Output::Begun));
                }
            }
            HttpEvent::Response { head, time } => exchange.response(&head, time),
            HttpEvent::ResponseBody { part, time } => exchange.response_body(&part, time, budget),
        }
        let after = exchange.held();
        self.shares.hold(connection.process, before, after);
        if exchange.is_certain() && !was_certain {
            self.judge(connection, Verdict::Want);
        }
        self.make_room_for_bodies(time);
    }

    fn unpaired(&mut self, connection: ConnectionKey) {
        self.connection(connection).unpaired = true;
    }

    fn foreign(&mut self, connection: ConnectionKey) {
        self.judge(connection, Verdict::Ignore);
    }

    fn gone(&mut self, connection: ConnectionKey) {
        self.connections.remove(&connection);
    }
}
