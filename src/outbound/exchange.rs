//! Sends the requests of calls. ureq connects (names, proxies, TLS). The request and its answer are handled
//! here, because ureq accepts fewer answers than other clients do, and changes URLs.
//!
//! Invariant: a request is sent at most once, ends by its deadline, and never goes to an address that `Reach`
//! refuses.

use std::fmt;
use std::io::{self, BufReader, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use ureq::http::{StatusCode, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::{Duration as Span, Instant as Moment};
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
    TransportAdapter,
};
use ureq::{Timeout, config::Config};

use super::abort::{Abort, Handle};
use super::answer::{self, Head};
use super::reach::{Reach, Refusal};
use super::resolve::CachingResolver;
use super::target::Target;
use super::{Client, Limits, MAX_IDLE_CONNECTIONS, Outbound};
use crate::base::clock;
use crate::model::Timestamp;

/// How long a name lookup or a connection attempt runs before it checks for an abort, because neither can be
/// interrupted. A host that takes longer to accept a connection cannot be reached.
const TURN: Duration = Duration::from_secs(4);
/// How long the body of an answer is read so that its connection can be reused.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A request. Its headers hold credentials, so there is no `Debug`.
pub struct Request<'a> {
    /// In upper case.
    pub method: &'a str,
    /// The target.
    pub target: &'a Target,
    /// All but `Host` and `Content-Length`. Values are sent unchanged, so they must not contain line breaks.
    pub headers: &'a [(&'a str, &'a str)],
    /// Empty for `GET` and `HEAD`.
    pub body: &'a [u8],
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Any three-digit number.
    pub status: StatusCode,
    /// The `Location`, as sent.
    pub location: Option<Vec<u8>>,
    /// The `Retry-After`, as sent.
    pub retry_after: Option<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ExchangeError {
    /// Not sent, because `Reach` refuses the target.
    Refused(Refusal),
    /// Aborted.
    Aborted,
    /// No status by the deadline.
    TimedOut,
    /// The connection failed, or the server does not speak HTTP.
    Failed(ureq::Error),
}

impl From<ureq::Error> for ExchangeError {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::TimedOut,
            other => Self::Failed(other),
        }
    }
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        ureq::Error::from(error).into()
    }
}

/// Sends requests, and keeps reusable connections.
pub struct Exchanges {
    /// Chooses the proxy and holds the trusted certificates.
    client: Client,
    limits: Limits,
    reach: Reach,
    resolver: CachingResolver,
    tunnel: ConnectProxyConnector,
    idle: Mutex<Vec<Idle>>,
}

type Connection = BufReader<TransportAdapter>;

struct Idle {
    connection: Connection,
    handle: Option<Handle>,
    target: Target,
    since: Instant,
}

impl fmt::Debug for Exchanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchanges")
            .field("client", &self.client)
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

impl Exchanges {
    /// The error says which setting is wrong.
    pub fn new(settings: &Outbound, limits: &Limits, reach: Reach) -> Result<Self, String> {
        Ok(Self {
            client: Client::new(settings, limits)?,
            limits: *limits,
            reach,
            resolver: CachingResolver::default(),
            tunnel: ConnectProxyConnector::default(),
            idle: Mutex::default(),
        })
    }

    /// Sends `request`, and returns the answer after reading its head and discarding part of its body. Until
    /// then `abort` can end it.
    pub fn send(
        &self,
        request: &Request<'_>,
        deadline: Instant,
        abort: &Abort,
    ) -> Result<Answer, ExchangeError> {
        let answer = self.exchange(request, deadline, abort);
        abort.release();
        // A connection that was closed by the abort may end in any error.
        if answer.is_err() && abort.is_wanted() { Err(ExchangeError::Aborted) } else { answer }
    }

    fn exchange(
        &self,
        request: &Request<'_>,
        deadline: Instant,
        abort: &Abort,
    ) -> Result<Answer, ExchangeError> {
        if abort.is_wanted() {
            return Err(ExchangeError::Aborted);
        }
        let mut connection = match self.take_idle(request.target, abort) {
            Some(connection) => connection,
            None => self.connect(request.target, deadline, abort)?,
        };
        if abort.is_wanted() {
            return Err(ExchangeError::Aborted);
        }
        connection.get_mut().set_timeout(until(deadline, Timeout::Global));
        let sent = connection.get_mut().write_all(&bytes_of(request));
        // A server may answer and close before it has read the whole request; that answer counts.
        let head = match (answer::read_head(&mut connection, request.method), sent) {
            (Ok(head), _) => head,
            (Err(_), Err(err)) | (Err(err), Ok(())) => return Err(err.into()),
        };
        let Head { status, ref location, ref retry_after, .. } = head;
        let answer = Answer { status, location: location.clone(), retry_after: retry_after.clone() };
        let body_deadline = deadline.min(clock::instant() + BODY_TIMEOUT);
        connection.get_mut().set_timeout(until(body_deadline, Timeout::RecvBody));
        // An error here does not change the status.
        if head.skip_body(&mut connection) {
            self.keep(connection, request.target, abort.connection());
        }
        Ok(answer)
    }

    fn take_idle(&self, target: &Target, abort: &Abort) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < self.limits.max_idle_age);
        let fitting = idle.iter().rposition(|idle| idle.target.has_origin_of(target))?;
        let Idle { mut connection, handle, .. } = idle.swap_remove(fitting);
        drop(idle);
        abort.watch(handle?);
        connection.get_mut().get_mut().is_open().then_some(connection)
    }

    fn keep(&self, mut connection: Connection, target: &Target, handle: Option<Handle>) {
        // Bytes after the answer would be taken for the next answer.
        let has_more =
            !connection.buffer().is_empty() || !connection.get_mut().get_mut().buffers().input().is_empty();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !has_more && idle.len() < MAX_IDLE_CONNECTIONS {
            idle.push(Idle { connection, handle, target: target.clone(), since: clock::instant() });
        }
    }

    fn connect(
        &self,
        target: &Target,
        deadline: Instant,
        abort: &Abort,
    ) -> Result<Connection, ExchangeError> {
        let deadline = deadline.min(clock::instant() + self.limits.connect_timeout);
        let uri = target.uri()?;
        let agent = self.client.agent_for(&uri);
        let config = agent.config();
        let transport: Box<dyn Transport> = if config.proxy().is_some() {
            let asked_for = in_turns(deadline, abort, |until| self.proxy_target(&uri, config, until))?;
            let details = self.details(&asked_for, self.resolver.empty(), config, deadline, abort);
            let tunnel = Connector::<()>::connect(&self.tunnel, &details, None)?;
            Box::new(tunnel.ok_or(ureq::Error::ConnectionFailed)?)
        } else {
            let addresses = in_turns(deadline, abort, |until| self.within_reach(&uri, config, until))?;
            let details = self.details(&uri, addresses, config, deadline, abort);
            Box::new(connect_tcp(&details, deadline, abort)?)
        };
        // The certificate is checked against the name, whatever the proxy was asked for.
        let details = self.details(&uri, self.resolver.empty(), config, deadline, abort);
        let transport =
            self.client.tls().connect(&details, Some(transport))?.ok_or(ureq::Error::ConnectionFailed)?;
        Ok(BufReader::new(TransportAdapter::new(Box::new(transport), Arc::new(Moment::now))))
    }

    /// The addresses of a target that may be connected to; at least one.
    fn within_reach(
        &self,
        uri: &Uri,
        config: &Config,
        deadline: Instant,
    ) -> Result<ResolvedSocketAddrs, ExchangeError> {
        let found = self.resolver.resolve(uri, config, until(deadline, Timeout::Resolve))?;
        let mut allowed = self.resolver.empty();
        let mut refusal = None;
        for address in &found {
            match self.reach.refuses(address.ip()) {
                Some(reason) => refusal = Some(reason),
                None => allowed.push(*address),
            }
        }
        match refusal.filter(|_| allowed.is_empty()) {
            Some(refusal) => Err(ExchangeError::Refused(refusal)),
            None => Ok(allowed),
        }
    }

    /// The target to request from a proxy. With [`Reach::PublicOnly`] it is an address, because the proxy
    /// would resolve a name by itself, to any address. Otherwise it is the name, which perhaps only the proxy
    /// can resolve.
    fn proxy_target(&self, uri: &Uri, config: &Config, deadline: Instant) -> Result<Uri, ExchangeError> {
        match self.reach {
            Reach::Anywhere => return Ok(uri.clone()),
            Reach::PublicOnly => (),
            Reach::BeyondLink | Reach::BeyondMachine => {
                let found = match self.resolver.resolve(uri, config, until(deadline, Timeout::Resolve)) {
                    Err(ureq::Error::HostNotFound | ureq::Error::Io(_)) => return Ok(uri.clone()),
                    found => found?,
                };
                let refusal = found.iter().find_map(|address| self.reach.refuses(address.ip()));
                return refusal.map_or(Ok(uri.clone()), |refusal| Err(ExchangeError::Refused(refusal)));
            }
        }
        let found = self.within_reach(uri, config, deadline)?;
        // Prefer an IPv4 address, which every proxy can reach.
        let address = found.iter().find(|address| address.is_ipv4()).or(found.first());
        let address = address.ok_or(ureq::Error::HostNotFound)?.to_string();
        let built = Uri::builder().scheme("https").authority(address).path_and_query("/").build();
        Ok(built.map_err(ureq::Error::from)?)
    }

    fn details<'a>(
        &'a self,
        uri: &'a Uri,
        addrs: ResolvedSocketAddrs,
        config: &'a Config,
        deadline: Instant,
        abort: &Abort,
    ) -> ConnectionDetails<'a> {
        let (abort, proxy_abort) = (abort.clone(), abort.clone());
        let tls = self.client.tls();
        ConnectionDetails {
            uri,
            addrs,
            config,
            request_level: false,
            resolver: &self.resolver,
            now: Moment::now(),
            timeout: until(deadline, Timeout::Connect),
            current_time: Arc::new(Moment::now),
            // The operator chose the proxy's address, so it is not restricted.
            run_connector: Arc::new(move |details| {
                let stream = connect_tcp(details, deadline, &proxy_abort).map_err(|err| match err {
                    ExchangeError::Failed(err) => err,
                    ExchangeError::TimedOut => ureq::Error::Timeout(Timeout::Connect),
                    ExchangeError::Aborted | ExchangeError::Refused(_) => ureq::Error::ConnectionFailed,
                })?;
                let transport = tls.connect(details, Some(stream))?.ok_or(ureq::Error::ConnectionFailed)?;
                Ok(Box::new(transport))
            }),
            register_shutdown: Arc::new(move |handle| match abort.watch(handle) {
                true => Ok(()),
                false => Err(ureq::Error::ConnectionFailed),
            }),
        }
    }
}

/// The wait that a `Retry-After` asks for, in seconds or until an instant (RFC 9110, 10.2.3). `None`: it is
/// neither.
pub fn requested_wait(retry_after: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let instant = OffsetDateTime::parse(retry_after, &Rfc2822).ok()?;
    Some(Timestamp::from_seconds(instant.unix_timestamp())?.since(now))
}

/// Whether `text` can be the value of a header. UTF-8 is sent as bytes, which RFC 9110 allows.
pub fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control())
}

/// Connects to one of the addresses of `details`.
fn connect_tcp(
    details: &ConnectionDetails<'_>,
    deadline: Instant,
    abort: &Abort,
) -> Result<impl Transport + use<>, ExchangeError> {
    let stream = in_turns(deadline, abort, |until_then| {
        let turn = ConnectionDetails {
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: Moment::now(),
            timeout: until(until_then, Timeout::Connect),
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        Ok(Connector::<()>::connect(&TcpConnector::default(), &turn, None)?)
    })?;
    stream.ok_or(ureq::Error::ConnectionFailed.into())
}

/// Repeats `attempt` until it ends other than by a time-out. Each time it gets the instant by which it must
/// end.
fn in_turns<T>(
    deadline: Instant,
    abort: &Abort,
    mut attempt: impl FnMut(Instant) -> Result<T, ExchangeError>,
) -> Result<T, ExchangeError> {
    loop {
        if abort.is_wanted() {
            return Err(ExchangeError::Aborted);
        }
        let turn_ends = deadline.min(clock::instant() + TURN);
        match attempt(turn_ends) {
            Err(ExchangeError::TimedOut) if turn_ends < deadline => (),
            ended => return ended,
        }
    }
}

fn until(deadline: Instant, reason: Timeout) -> NextTimeout {
    let left = deadline.saturating_duration_since(clock::instant());
    NextTimeout { after: Span::Exact(left), reason, ..NextTimeout::default() }
}

fn bytes_of(request: &Request<'_>) -> Vec<u8> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\n",
        request.method,
        request.target.path_and_query(),
        request.target.host_header()
    );
    for (name, value) in request.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    if !request.body.is_empty() || matches!(request.method, "POST" | "PUT" | "PATCH") {
        head.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), request.body].concat()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};
    use std::thread;

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// Accepts no connections: its backlog stays full while the returned sockets live.
    fn full_backlog() -> (Socket, Vec<TcpStream>, SocketAddr) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            waiting.push(stream);
            assert!(waiting.len() < 10, "the backlog has no end");
        }
        (listener, waiting, address)
    }

    #[test]
    fn a_request_that_hangs_in_connecting_is_aborted_long_before_it_times_out() {
        let (_listener, _waiting, address) = full_backlog();
        let hour = Duration::from_secs(3600);
        let limits = Limits { connect_timeout: hour, total_timeout: hour, max_idle_age: Duration::ZERO };
        let exchanges = Exchanges::new(&Outbound::default(), &limits, Reach::Anywhere).unwrap();
        let target = Target::parse(&format!("http://{address}/")).unwrap();
        let request = Request { method: "GET", target: &target, headers: &[], body: &[] };
        let abort = Abort::default();
        let sent = thread::scope(|scope| {
            let sending = scope.spawn(|| exchanges.send(&request, clock::instant() + hour, &abort));
            let _ = crossbeam_channel::after(Duration::from_millis(100)).recv();
            abort.abort();
            sending.join().unwrap()
        });
        assert!(matches!(sent, Err(ExchangeError::Aborted)), "{sent:?}");
    }
}
