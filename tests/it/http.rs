//! The HTTP server on real sockets, with clients of every kind: good, slow, broken and hostile.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, unbounded};
use ocf_scheduler::base::clock;
use ocf_scheduler::http::{
    Body, Handlers, HttpSettings, Refusal, Request, Response, Server, respond, respond_with,
};
use tiny_http::{Header, StatusCode};

/// Longer than anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Earlier than any time-out of [`PATIENCE`], and late enough for a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// A client time-out that a test can wait for.
const SHORT: Duration = Duration::from_millis(300);

// ---- requests and answers ----

/// Sends each on a separate connection, and checks the status of the answer and whether the connection stays
/// open.
#[test]
fn ambiguous_heads_are_refused() {
    let world = EchoServer::start();
    let then = |bytes: &str, expected: &str| world.check(bytes.as_bytes(), expected);
    // Valid requests.
    then("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
    then("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
    then("GET / HTTP/1.1\r\nhost:x:80\r\n\r\n", "200 stays");
    then("GET / HTTP/1.1\r\nHost:\r\n\r\n", "200 stays");
    then("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "200 stays");
    then("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, CLOSE\r\n\r\n", "200 closes");
    then("GET / HTTP/1.0\r\n\r\n", "200 closes");
    then("GET http://y/a?b HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
    then("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
    then("get / HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
    then("BREW /%00%2e%2e/%ff?%zz HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
    then("POST / HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
    then("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: J\u{f6}rg\r\n\r\n", "200 stays");
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: caf\xe9\r\n\r\n", "200 stays");
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer caf\xe9\r\n\r\n", "200 stays");
    then("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: a b\r\n\r\n", "200 stays");
    // Request lines.
    then("hello\r\n", "400 closes");
    then("GET /\r\n", "400 closes");
    then("GET / HTTP/2.0\r\n\r\n", "400 closes");
    then("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400 closes");
    then("GET / HTTP/1.2\r\nHost: x\r\n\r\n", "400 closes");
    then("GET / HTTP/0.9\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1 \r\nHost: x\r\n\r\n", "400 closes");
    then("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then(" GET / HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("G(T / HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("GET a HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("GET * HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("GET http://user@x/a HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then(&format!("{} / HTTP/1.1\r\nHost: x\r\n\r\n", "A".repeat(33)), "400 closes");
    then("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}", "400 closes");
    // Line ends and headers.
    then("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\nHost: x\n\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\n\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\n Host: x\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost : x\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\nF\u{f6}o: bar\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "400 closes");
    then("GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n", "400 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\nExpect: magic\r\n\r\n", "417 closes");
    then("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: a b\r\nauthorization: a b\r\n\r\n", "400 closes");
    world.check(
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: a b\r\nAuthorization: \xe9\r\n\r\n",
        "400 closes",
    );
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: caf\xe9\r\n\r\n", "400 closes");
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\nIf-Match: \"\xe9\"\r\n\r\n", "400 closes");
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: \xe9\r\n\r\n", "400 closes");
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \xe9\r\n\r\n", "400 closes");
    world.check(b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", "400 closes");
}

#[test]
fn ambiguous_lengths_of_bodies_are_refused() {
    let world = EchoServer::start();
    let then = |headers: &str, body: &str, expected: &str| {
        let bytes = format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}");
        world.check(bytes.as_bytes(), expected);
    };
    then("Content-Length: 5\r\n", "hello", "200 stays");
    then("Content-Length: 0\r\n", "", "200 stays");
    then("Content-Length: 0000000005\r\n", "hello", "200 stays");
    then("Content-Length: +5\r\n", "hello", "400 closes");
    then("Content-Length: -5\r\n", "hello", "400 closes");
    then("Content-Length: 5 5\r\n", "hello", "400 closes");
    then("Content-Length: 5, 5\r\n", "hello", "400 closes");
    then("Content-Length: 0x5\r\n", "hello", "400 closes");
    then("Content-Length:\r\n", "hello", "400 closes");
    then("Content-Length: 5\r\nContent-Length: 5\r\n", "hello", "400 closes");
    then("Content-Length: 5\r\ncontent-length: 6\r\n", "hello", "400 closes");
    then("Content-Length: 99999999999999999999999\r\n", "hello", "400 closes");
    then("Content-Length: 100000000000000\r\n", "hello", "413 closes");
    then("Content-Length: 1048577\r\n", "", "413 closes");
    then("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", "400 closes");
    then("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n", "400 closes");
    then("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", "400 closes");
    then("Transfer-Encoding: identity\r\n", "", "400 closes");
    then("Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n", "400 closes");
    then("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", "400 closes");
    then("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", "400 closes");
    then("Transfer-Encoding : chunked\r\n", "0\r\n\r\n", "400 closes");
    let old = b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    world.check(old, "400 closes");
}

#[test]
fn ambiguous_chunks_are_refused() {
    let world = EchoServer::start();
    let then = |body: &str, expected: &str| {
        let bytes = format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n{body}");
        world.check(bytes.as_bytes(), expected);
    };
    then("0\r\n\r\n", "200 stays");
    then("5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n", "200 stays");
    then("5;a=b;c=\"d e\"\r\nhello\r\n0;z\r\n\r\n", "200 stays");
    then("5 ;a\r\nhello\r\n0\r\n\r\n", "200 stays");
    then("5\r\nhello\r\n0\r\nTrailer: value\r\nAnother:\r\n\r\n", "200 stays");
    then("\r\n", "400 closes");
    then("x\r\nhello\r\n0\r\n\r\n", "400 closes");
    then("0x5\r\nhello\r\n0\r\n\r\n", "400 closes");
    then("+5\r\nhello\r\n0\r\n\r\n", "400 closes");
    then(" 5\r\nhello\r\n0\r\n\r\n", "400 closes");
    then("5 \r\nhello\r\n0\r\n\r\n", "400 closes");
    then("5 5\r\nhello\r\n0\r\n\r\n", "400 closes");
    then("5\nhello\r\n0\r\n\r\n", "400 closes");
    then("5\r\nhello\n0\r\n\r\n", "400 closes");
    then("5\r\nhello!\r\n0\r\n\r\n", "400 closes");
    then("6\r\nhello\r\n0\r\n\r\n", "400 closes");
    then("5;a\rb\r\nhello\r\n0\r\n\r\n", "400 closes");
    then("5;a\0b\r\nhello\r\n0\r\n\r\n", "400 closes");
    then("0\r\nno colon\r\n\r\n", "400 closes");
    then("0\r\n : empty\r\n\r\n", "400 closes");
    then("ffffffffffffffff\r\nhello", "413 closes");
    then("fffffffffffffffffffffffffffffffffff5\r\nhello", "413 closes");
    then("100001\r\n", "413 closes");
    then(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(300)), "400 closes");
    then(&format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "b".repeat(200)).repeat(100)), "400 closes");
    then(&format!("0\r\nA: {}\r\n\r\n", "b".repeat(9000)), "431 closes");
    then(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(3000)), "431 closes");
}

#[test]
fn a_request_reaches_the_handler_as_it_was_sent() {
    let world = EchoServer::start();
    let mut client = world.connect();
    client.send("PATCH /a%20b/?x=%zz&y HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.answer().text(), "PATCH /a%20b/ Some(\"x=%zz&y\") x body");
    client.send("get http://y:8?q HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().text(), "get / Some(\"q\") y:8 ");
    client.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().text(), "OPTIONS * None x ");
    client.send(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \
     chunked\r\n\r\n3;e\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "POST / None x abcde");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let world = EchoServer::start();
    let mut client = world.connect();
    let requests: String = (0..200)
        .map(|n| format!("POST /{n} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{n:03}"))
        .collect();
    client.send(&requests);
    for n in 0..200 {
        assert_eq!(client.answer().text(), format!("POST /{n} None x {n:03}"));
    }
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let world = EchoServer::start();
    let mut client = world.connect();
    for request in [
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\nT: \
         u\r\n\r\n",
    ] {
        for byte in request.as_bytes() {
            client.send_bytes(&[*byte]);
        }
        assert_eq!(client.answer().text(), "POST /a None x abc");
    }
}

#[test]
fn an_unread_body_is_never_taken_for_a_request() {
    let world = EchoServer::start();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut client = world.connect();
    client.send(&format!(
        "POST /ignores-body HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{smuggled}\
         POST /ignores-body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \
         chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n\
         GET /last HTTP/1.1\r\nHost: x\r\n\r\n",
        smuggled.len(),
        smuggled.len(),
    ));
    assert_eq!(client.answer().text(), "");
    assert_eq!(client.answer().text(), "");
    assert_eq!(client.answer().text(), "GET /last None x ");
    // What follows a refused head is not read.
    client.send(&format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n{smuggled}"));
    assert_eq!(client.answer().status, 400);
    client.assert_closed();
    assert_eq!(world.handled("/smuggled"), 0);
}

#[test]
fn a_body_of_one_mebibyte_is_accepted_and_one_byte_more_is_a_413() {
    let world = EchoServer::start();
    let body = "x".repeat(1024 * 1024);
    let mut client = world.connect();
    client.send(&format!("POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(client.answer().text(), "1048576");
    let half = &body[..512 * 1024];
    client.send("POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(&format!("80000\r\n{half}\r\n80000\r\n{half}\r\n0\r\n\r\n"));
    assert_eq!(client.answer().text(), "1048576");
    client.send("POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(&format!("80000\r\n{half}\r\n80000\r\n{half}\r\n1\r\nx\r\n0\r\n\r\n"));
    assert_eq!(client.answer().status, 413);
    client.assert_closed();
    // A client that sends a larger body completely before it reads still sees the answer.
    let mut client = world.connect();
    client.send(&format!(
        "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}{body}",
        2 * body.len()
    ));
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (413, Some("close")));
    // A reset could have overtaken the answer.
    assert_eq!(client.reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_head_of_16_kib_fits_in_any_shape_and_more_than_64_kib_is_a_431() {
    let world = EchoServer::start();
    let mut client = world.connect();
    let head = |filler: &str| format!("GET /short HTTP/1.1\r\nHost: x\r\n{filler}\r\n");
    client.send(&head(&format!("A: {}\r\n", "b".repeat(16 * 1024))));
    assert_eq!(client.answer().status, 200);
    client.send(&head(&"a:\r\n".repeat(4085)));
    assert_eq!(client.answer().status, 200);
    client.send(&head(&format!("A: {}\r\n", "b".repeat(64 * 1024 - head("A: \r\n").len()))));
    assert_eq!(client.answer().status, 200);
    client.send(&head(&format!("A: {}\r\n", "b".repeat(64 * 1024 + 1 - head("A: \r\n").len()))));
    assert_eq!(client.answer().status, 431);
    client.assert_closed();
    world.check(head(&"a:\r\n".repeat(5000)).as_bytes(), "431 closes");
    world.check(format!("GET /{} HTTP/1.1\r\n", "a".repeat(70_000)).as_bytes(), "431 closes");
    // An endless body, far beyond the 10 MB or so that both sides' system buffers can hold.
    let mut client = world.connect();
    let mut sent = 0;
    while sent < 64_000_000 && client.stream.write_all(&b"a: b\r\n".repeat(1000)).is_ok() {
        sent += 6000;
        if sent == 6000 {
            client.send("GET / HTTP/1.1\r\n");
        }
    }
    assert!(sent < 64_000_000, "the connection is closed, not read on and on");
}

#[test]
fn a_client_that_expects_100_continue_gets_it() {
    let world = EchoServer::start();
    let mut client = world.connect();
    let head = |length| {
        format!("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: {length}\r\n\r\n")
    };
    client.send(&head(4));
    assert_eq!(client.line(), "HTTP/1.1 100 Continue\r\n");
    assert_eq!(client.line(), "\r\n");
    client.send("body");
    assert_eq!(client.answer().text(), "POST / None x body");
    client.send(&head(0));
    assert_eq!(client.answer().status, 200, "nothing to ask for");
    client.send(&format!("{}body", head(4)));
    assert_eq!(client.answer().status, 200, "nothing to wait for");
    client.send(&head(2_000_000));
    assert_eq!(client.answer().status, 413, "not asked for");
    client.assert_closed();
}

#[test]
fn every_answer_has_a_request_id_and_a_sane_one_is_kept() {
    let world = EchoServer::start();
    let mut client = world.connect();
    let mut id_for = |sent: &str| {
        client.send(&format!("GET /id HTTP/1.1\r\nHost: x\r\nX-Request-ID: {sent}\r\n\r\n"));
        let answer = client.answer();
        let id = answer.header("X-Request-Id").unwrap().to_owned();
        assert_eq!(answer.text(), id, "the handler sees the same");
        id
    };
    assert_eq!(id_for("a.B-c_1"), "a.B-c_1");
    assert_eq!(id_for(&"a".repeat(64)), "a".repeat(64));
    assert_eq!(id_for("").len(), 36);
    assert_eq!(id_for("a b").len(), 36);
    assert_eq!(id_for("<script>").len(), 36);
    assert_eq!(id_for(&"a".repeat(65)).len(), 36);
    assert_ne!(id_for(""), id_for(""));
    for refused in [
        "nonsense\r\n\r\n",
        "GET /panic HTTP/1.1\r\nHost: x\r\nX-Request-Id: kept\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: kept\r\nContent-Length: 2000000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: kept\r\nContent-Length: z\r\n\r\n",
    ] {
        let mut client = world.connect();
        client.send(refused);
        let answer = client.answer();
        let id = answer.header("X-Request-Id").unwrap();
        assert!(id == "kept" || (id.len() == 36 && refused.starts_with("nonsense")), "{refused} {id}");
    }
}

#[test]
fn answers_are_framed_by_what_the_client_can_read() {
    let world = EchoServer::start();
    let mut client = world.connect();
    let mut get = |method: &str, path: &str| {
        client.send(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        client.answer_to(method)
    };
    let empty = get("GET", "/status/401");
    assert_eq!((empty.status, empty.header("Content-Length")), (401, Some("0")));
    assert_eq!(get("GET", "/status/204").header("Content-Length"), None);
    assert_eq!(get("GET", "/status/304").header("Content-Length"), None);
    assert_eq!(get("HEAD", "/short").header("Content-Length"), Some("5"));
    assert_eq!(get("HEAD", "/stream").header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(get("HEAD", "/panic").header("Content-Length"), Some("0"));
    let streamed = get("GET", "/stream");
    assert_eq!(
        (streamed.header("Transfer-Encoding"), streamed.header("Content-Length")),
        (Some("chunked"), None)
    );
    assert_eq!(streamed.body, stream_text());
    let known = get("GET", "/stream-of-known-length");
    assert_eq!(known.header("Content-Length"), Some(stream_text().len().to_string().as_str()));
    assert_eq!(known.body, stream_text());
    let big = get("GET", "/big");
    assert_eq!((big.header("Content-Length"), big.body.len()), (Some("3000000"), 3_000_000));
    let split = get("GET", "/header-with-a-line-end");
    assert_eq!((split.header("Evil"), split.header("X-Bad")), (None, None));
    assert_eq!(get("GET", "/short").header("Connection"), None);

    let mut old = world.connect();
    old.send("GET /stream HTTP/1.0\r\n\r\n");
    let answer = old.answer();
    assert_eq!((answer.header("Transfer-Encoding"), answer.header("Connection")), (None, Some("close")));
    assert_eq!(answer.body, stream_text());
}

#[test]
fn a_stream_that_fails_in_the_middle_never_looks_complete() {
    let world = EchoServer::start();
    for path in ["/cut", "/cut-of-known-length", "/shorter-than-its-length"] {
        for version in ["1.0", "1.1"] {
            let mut client = world.connect();
            client.send(&format!("GET {path} HTTP/{version}\r\nHost: x\r\n\r\n"));
            let mut received = Vec::new();
            let ended = client.reader.read_to_end(&mut received);
            assert!(!received.ends_with(b"0\r\n\r\n"), "{path}: a last chunk");
            assert!(ended.is_err() || received.len() < 20_000 || version == "1.1", "{path}: a clean end");
            assert!(ended.is_err(), "{path} over {version}: the end is a reset");
        }
    }
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
}

#[test]
fn a_client_that_closes_its_sending_side_gets_its_answers() {
    let world = EchoServer::start();
    let mut client = world.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.answer().text(), "GET /1 None x ");
    assert_eq!(client.answer().text(), "GET /2 None x ");
    client.assert_closed();
    let mut client = world.connect();
    client.send("POST /short-body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.answer().status, 400);
    client.assert_closed();
    assert_eq!(world.handled("/short-body"), 0);
}

// ---- time ----

#[test]
fn a_request_that_is_too_slow_is_closed_however_it_trickles() {
    let world = EchoServer::with(HttpSettings { client_timeout: SHORT, ..settings() });
    for beginning in [
        "G",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\nabc",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        let mut client = world.connect();
        let started = clock::instant();
        client.send(beginning);
        let answer = thread::scope(|scope| {
            let mut trickle = client.stream.try_clone().unwrap();
            let (stop, stopped) = bounded::<()>(0);
            scope.spawn(move || {
                while stopped.recv_timeout(SHORT / 10).is_err_and(|err| err.is_timeout()) {
                    if trickle.write_all(b"a").is_err() {
                        break;
                    }
                }
            });
            let answer = client.answer();
            drop(stop);
            answer
        });
        assert_eq!(
            answer.status,
            if beginning.ends_with("0\r\n") { answer.status } else { 408 },
            "{beginning}"
        );
        assert!(400 <= answer.status && answer.status < 500, "{beginning}");
        assert!(started.elapsed() < SOON, "{beginning}: {:?}", started.elapsed());
        client.assert_closed();
    }
}

#[test]
fn idle_connections_have_their_own_time_out() {
    let world =
        EchoServer::with(HttpSettings { client_timeout: SHORT, idle_timeout: 2 * SHORT, ..settings() });
    let started = clock::instant();
    let mut silent = world.connect();
    let mut kept = world.connect();
    kept.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(kept.answer().status, 200);
    silent.assert_closed();
    kept.assert_closed();
    assert!(2 * SHORT <= started.elapsed() && started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn clients_that_do_not_read_are_cut_off_and_hold_no_pool_thread() {
    let world = EchoServer::with(HttpSettings { client_timeout: SHORT, threads: 2, ..settings() });
    let deaf: Vec<Client> = (0..10)
        .map(|_| {
            let client = world.connect();
            client.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
            client
        })
        .collect();
    let started = clock::instant();
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
    assert!(started.elapsed() < SOON);
    for client in deaf {
        // A reset, which makes the system discard what it still holds for the client.
        world.wait_until(|| client.stream.take_error().unwrap().is_some());
    }
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

// ---- limits ----

#[test]
fn at_the_limit_a_new_connection_replaces_the_longest_idle_one() {
    let world = EchoServer::with(HttpSettings { max_connections: 3, ..settings() });
    let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut clients: Vec<Client> = (0..3).map(|_| world.connect()).collect();
    for client in &mut clients {
        client.send(get);
        assert_eq!(client.answer().status, 200);
    }
    // The first is now the most recent, so the second is closed.
    clients[0].send(get);
    assert_eq!(clients[0].answer().status, 200);
    let mut new = world.connect();
    new.send(get);
    assert_eq!(new.answer().status, 200);
    clients[1].assert_closed();
    for index in [0, 2] {
        clients[index].send(get);
        assert_eq!(clients[index].answer().status, 200);
    }
}

#[test]
fn at_the_limit_with_none_idle_a_new_connection_gets_a_503_at_once() {
    let world = EchoServer::with(HttpSettings { max_connections: 2, ..settings() });
    let mut waiting = world.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut beginning = world.connect();
    beginning.send("GET / HTTP/1.1\r\n");
    world.wait_until(|| world.handled("/wait") == 1);
    for _ in 0..100 {
        let mut refused = world.connect();
        refused.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = refused.answer();
        assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
        assert_eq!(answer.header("Connection"), Some("close"));
        assert!(answer.header("X-Request-Id").is_some());
    }
    beginning.send("Host: x\r\n\r\n");
    assert_eq!(beginning.answer().status, 200);
    world.open_gate();
    assert_eq!(waiting.answer().status, 200);
}

#[test]
fn at_the_limit_a_new_connection_replaces_the_request_arriving_longest() {
    // On a busy machine the two seconds may be over before the first answer, and the test would show nothing.
    let (world, mut clients) =
        (0..10).find_map(|_| full_with_one_arriving()).expect("an answer within two seconds");
    let_pass(Duration::from_millis(2500));
    clients[1].send("E"); // Trickling does not help.
    let mut new = world.connect();
    new.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(new.answer().status, 200);
    clients[1].assert_closed();
    clients[2].send("34");
    assert_eq!(clients[2].answer().status, 200, "only one had to go");
    world.open_gate();
    assert_eq!(clients[0].answer().text(), "waited", "what is being answered never goes");
}

/// Three connections, which is the limit: one that is being answered, one whose request began to arrive less
/// than two seconds ago, and one that began after it. `None` if these two seconds were over too early.
fn full_with_one_arriving() -> Option<(EchoServer, Vec<Client>)> {
    let world = EchoServer::with(HttpSettings { max_connections: 3, ..settings() });
    let clients: Vec<Client> = (0..3).map(|_| world.connect()).collect();
    clients[0].send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    world.wait_until(|| world.handled("/wait") == 1);
    let began = clock::instant();
    clients[1].send("G");
    let_pass(Duration::from_millis(300));
    clients[2].send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n12");
    let mut new = world.connect();
    new.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let status = new.answer().status;
    if began.elapsed() > Duration::from_secs(2) {
        world.open_gate();
        return None;
    }
    assert_eq!(status, 503, "a request has two seconds to come");
    Some((world, clients))
}

/// Waits for this much real time.
fn let_pass(duration: Duration) {
    let _ = after(duration).recv();
}

#[test]
fn health_is_answered_at_once_even_without_a_free_seat() {
    let world = EchoServer::with(HttpSettings { max_connections: 2, ..settings() });
    let mut held: Vec<Client> = (0..2).map(|_| world.connect()).collect();
    for client in &held {
        client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    world.wait_until(|| world.handled("/wait") == 2);
    // More than the lobby holds, all of them silent.
    let silent: Vec<Client> = (0..150).map(|_| world.connect()).collect();
    for pieces in
        [["GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", ""], ["GET /heal", "thz HTTP/1.1\r\nHost: x\r\n\r\n"]]
    {
        let mut client = world.connect();
        for piece in pieces {
            client.send(piece);
            thread::park_timeout(Duration::from_millis(20));
        }
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
        assert_eq!(answer.text(), "quick");
    }
    for mut client in silent {
        assert_eq!(client.answer().status, 503);
    }
    world.open_gate();
    assert!(held.iter_mut().all(|client| client.answer().status == 200));
}

#[test]
fn what_the_head_decides_is_answered_before_the_body_arrives() {
    let world = EchoServer::start();
    let mut client = world.connect();
    client
        .send("POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Connection")), (401, Some("close")));
    client.assert_closed();
    // A body that has arrived is skipped, and the connection stays open.
    world.check(b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", "401 stays");
    world.check(
        b"POST /refused HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "401 closes",
    );
}

#[test]
fn no_answer_may_be_cached_on_the_way() {
    let world = EchoServer::start();
    for path in ["/", "/stream", "/status/204", "/status/404", "/healthz", "/panic"] {
        let mut client = world.connect();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(client.answer().header("Cache-Control"), Some("no-store"), "{path}");
    }
    let mut client = world.connect();
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.answer().header("Cache-Control"), Some("no-store"));
}

#[test]
fn unfinished_heads_and_bodies_stay_within_the_bound_and_small_requests_pass() {
    let world =
        EchoServer::with(HttpSettings { memory_max: 8 * 1024 * 1024, max_connections: 240, ..settings() });
    let filler = "x".repeat(60 * 1024);
    let held: Vec<Client> = (0..230)
        .map(|number| {
            let client = world.connect();
            match number % 2 {
                0 => client.send(&format!("GET / HTTP/1.1\r\nHost: x\r\nA: {filler}")),
                _ => client
                    .send(&format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{filler}")),
            }
            client
        })
        .collect();
    let is_refused = |client: &&Client| {
        client.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let refused = client.stream.peek(&mut [0; 12]).is_ok();
        client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        refused
    };
    // Each needs at least 60 kB of 8 MiB: far fewer than half of them fit.
    world.wait_until(|| held.iter().filter(is_refused).count() > 80);
    let mut refused: Vec<Client> = Vec::new();
    let (gone, stay): (Vec<Client>, Vec<Client>) = held.into_iter().partition(|client| is_refused(&client));
    refused.extend(gone);
    assert!(refused.iter_mut().all(|client| client.answer().status == 503));
    world.check(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", "200 stays");
    drop(stay);
}

#[test]
fn thousands_of_idle_connections_block_nobody() {
    let world = EchoServer::with(HttpSettings { max_connections: 50, ..settings() });
    let idle: Vec<Client> = (0..400).map(|_| world.connect()).collect();
    let started = clock::instant();
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
    assert!(started.elapsed() < SOON);
    drop(idle);
}

#[test]
fn a_busy_pool_answers_503_and_still_serves_quick_requests() {
    let world = EchoServer::with(HttpSettings { threads: 2, ..settings() });
    let send_to_wait = || {
        let client = world.connect();
        client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
        client
    };
    let mut clients: Vec<Client> = (0..2).map(|_| send_to_wait()).collect();
    world.wait_until(|| world.handled("/wait") == 2);
    // Sixteen can wait, eight for each thread.
    clients.extend((0..20).map(|_| send_to_wait()));
    let is_answered = |client: &&mut Client| client.stream.peek(&mut [0]).is_ok();
    for client in &clients {
        client.stream.set_nonblocking(true).unwrap();
    }
    world.wait_until(|| clients.iter_mut().filter(is_answered).count() == 4);
    for client in clients.iter_mut().filter(is_answered) {
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
        client.stream.set_nonblocking(false).unwrap();
        client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.answer().text(), "quick", "and the connection stays");
        client.stream.set_nonblocking(true).unwrap();
    }
    world.open_gate();
    world.wait_until(|| clients.iter_mut().filter(is_answered).count() == 18);
    assert!(clients.iter_mut().filter(is_answered).all(|client| client.answer().status == 200));
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
}

#[test]
fn a_panic_is_a_500_and_ends_nothing() {
    let world = EchoServer::with(HttpSettings { threads: 1, ..settings() });
    let mut client = world.connect();
    for path in ["/panic", "/panic", "/panic-quickly"] {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (500, "refused a/b"));
    }
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn all_bodies_together_hold_a_bounded_amount_of_memory() {
    let world = EchoServer::start();
    // 80 incomplete bodies of almost 1 MiB: more than the 64 MiB for all together.
    let almost = "x".repeat(1024 * 1024 - 1);
    let mut clients: Vec<Client> = (0..80).map(|_| world.connect()).collect();
    for client in &mut clients {
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
        // Some are refused while they send.
        let _ = client.stream.write_all(almost.as_bytes());
    }
    let is_answered = |client: &&mut Client| client.stream.peek(&mut [0]).is_ok();
    for client in &clients {
        client.stream.set_nonblocking(true).unwrap();
    }
    // 1 MiB each, except for the 32 KiB that are free: 66 fit.
    world.wait_until(|| 14 <= clients.iter_mut().filter(is_answered).count());
    assert!(clients.iter_mut().filter(is_answered).all(|client| client.answer().status == 503));
    // A small one is accepted.
    world.check(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", "200 stays");
    drop(clients);
    let body = "x".repeat(1024 * 1024);
    world.wait_until(|| {
        let mut client = world.connect();
        client.send(&format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n{body}"));
        client.answer().status == 200
    });
}

/// All tests share the descriptors of a process, so this server runs in a separate one.
#[test]
fn without_descriptors_it_waits_and_then_answers_again() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "http::it_serves_with_few_descriptors", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr: SocketAddr =
        lines.find_map(|line| line.unwrap().strip_prefix("listens on ")?.parse().ok()).unwrap();
    let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for beginning in ["", "GET / HTTP/1.1\r\n"] {
        let flood: Vec<Client> = (0..400)
            .map(|_| {
                let client = Client::connect(addr);
                client.send(beginning);
                client
            })
            .collect();
        if beginning.is_empty() {
            let mut bystander = Client::connect(addr);
            bystander.send(get);
            assert_eq!(bystander.answer().status, 200, "idle connections go for a new one");
        }
        drop(flood);
        let started = clock::instant();
        let mut bystander = Client::connect(addr);
        bystander.send(get);
        let answer = bystander.answer();
        assert_eq!(answer.status, 200);
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "lowers the limits of its process: started by the test above"]
fn it_serves_with_few_descriptors() {
    let limit = rustix::process::Rlimit { current: Some(48), maximum: Some(48) };
    // It started while the limit was high, so it does not know the limit and hits it.
    let world = EchoServer::start();
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    writeln!(io::stdout(), "\nlistens on {}", world.addr).unwrap();
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

// ---- stopping ----

#[test]
fn a_stop_answers_current_requests_and_closes_idle_connections() {
    let mut world = EchoServer::start();
    let mut idle = world.connect();
    idle.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(idle.answer().header("Connection"), None);
    let mut waiting = world.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut beginning = world.connect();
    beginning.send("GET /late HTTP/1.1\r\n");
    world.wait_until(|| world.handled("/wait") == 1);
    let server = world.server.take().unwrap();
    let stopping = thread::spawn(move || {
        let started = clock::instant();
        server.stop(PATIENCE);
        started.elapsed()
    });
    idle.assert_closed();
    beginning.send("Host: x\r\n\r\n");
    let answer = beginning.answer();
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
    world.open_gate();
    let answer = waiting.answer();
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
    waiting.assert_closed();
    assert!(stopping.join().unwrap() < SOON);
    assert!(TcpStream::connect(world.addr).is_err(), "nobody listens any more");
}

#[test]
fn requests_sent_before_a_stop_are_answered_even_if_not_accepted_yet() {
    for _ in 0..10 {
        let mut world = EchoServer::start();
        let mut clients: Vec<_> = (0..30).map(|_| world.connect()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        world.server.take().unwrap().stop(PATIENCE);
        assert!(clients.iter_mut().all(|client| client.answer().status == 200));
    }
}

#[test]
fn a_request_that_has_begun_before_a_stop_may_still_end() {
    for _ in 0..10 {
        let mut world = EchoServer::start();
        let mut clients: Vec<_> = (0..30).map(|_| world.connect()).collect();
        for client in &mut clients {
            client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n");
        }
        let server = world.server.take().unwrap();
        let stopping = thread::spawn(move || server.stop(PATIENCE));
        while TcpStream::connect(world.addr).is_ok() {
            thread::yield_now();
        }
        let (whole, cut) = clients.split_at_mut(25);
        for client in cut {
            client.stream.shutdown(Shutdown::Write).unwrap();
            let answer = client.answer();
            let headers = ["Retry-After", "Connection"].map(|name| answer.header(name));
            assert_eq!((answer.status, headers), (503, [Some("1"), Some("close")]), "it may be repeated");
        }
        for client in &mut *whole {
            client.send("body");
        }
        let statuses: Vec<u16> = whole.iter_mut().map(|client| client.answer().status).collect();
        // The stop may have cut off one whose first bytes had just been read.
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
        assert!(20 < statuses.iter().filter(|status| **status == 200).count(), "{statuses:?}");
        stopping.join().unwrap();
    }
}

#[test]
fn a_stop_waits_no_longer_than_allowed() {
    let mut world = EchoServer::start();
    let mut waiting = world.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut beginning = world.connect();
    beginning.send("GET /");
    world.wait_until(|| world.handled("/wait") == 1);
    let started = clock::instant();
    world.server.take().unwrap().stop(SHORT);
    assert!(SHORT <= started.elapsed() && started.elapsed() < SOON, "{:?}", started.elapsed());
    beginning.assert_closed();
    waiting.assert_closed();
}

// ---- random input ----

/// Requests with a few bytes changed, removed, repeated or moved: each ends in answers or a close, never in a
/// 5xx or a connection that hangs.
#[test]
fn mutated_requests_get_4xx_or_a_close() {
    const ROUNDS: usize = 1500;
    let seeds: [&[u8]; 5] = [
        b"GET /jobs?space_guid=1 HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"name\":\"ab\"}",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: \
         u\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close\r\n\r\n",
        b"PUT http://y/z HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    ];
    const SPLICES: [&[u8]; 10] =
        [b"\r\n", b"\r", b"\n", b"\0", b" ", b":", b"\xff", b"Content-Length: 7\r\n", b"0", b"HTTP/1.1"];
    let world = EchoServer::with(HttpSettings { client_timeout: Duration::from_secs(5), ..settings() });
    let mut random = Random(0x5eed);
    for round in 0..ROUNDS {
        let mut bytes = seeds[random.below(seeds.len())].to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(5) {
                0 => bytes[at] = random.below(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => {
                    bytes.splice(at..at, SPLICES[random.below(SPLICES.len())].iter().copied()).for_each(drop)
                }
                3 => bytes.truncate(at + 1),
                _ => {
                    let end = (at + random.below(40)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    let to = random.below(bytes.len());
                    bytes.splice(to..to, copy).for_each(drop);
                }
            }
        }
        let mut client = world.connect();
        client.send_bytes(&bytes);
        client.stream.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        let shown = bytes.escape_ascii();
        match client.reader.read_to_end(&mut received) {
            Err(err) if matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("round {round} hangs: {shown}")
            }
            _ => (),
        }
        let received = String::from_utf8_lossy(&received);
        assert!(!received.contains("HTTP/1.1 5"), "round {round}: {shown}\n{received}");
    }
    world.check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200 stays");
}

/// xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

// ---- helpers ----

/// The HTTP server alone, with handlers that report what they received.
struct EchoServer {
    server: Option<Server>,
    addr: SocketAddr,
    gate: Mutex<Option<Sender<()>>>,
    handled: Receiver<String>,
    handled_so_far: Mutex<Vec<String>>,
}

fn settings() -> HttpSettings {
    HttpSettings {
        threads: 4,
        answers_take_long: false,
        max_connections: 1000,
        client_timeout: PATIENCE,
        idle_timeout: 2 * PATIENCE,
        memory_max: 64 * 1024 * 1024,
    }
}

impl EchoServer {
    fn start() -> Self {
        Self::with(settings())
    }

    fn with(settings: HttpSettings) -> Self {
        let (gate, closed_gate) = bounded(0);
        let (tell, handled) = unbounded();
        let handlers = Handlers {
            handle: Box::new(move |request| {
                // The test may be over.
                let _ = tell.send(request.path.clone());
                handle(request, &closed_gate)
            }),
            answer_head: Box::new(|request| match request.path.as_str() {
                "/refused" => Some(respond(401)),
                "/healthz" => Some(respond_with(200, "text/plain", "quick")),
                "/panic-quickly" => panic!("as the test wants"),
                _ => None,
            }),
            refuse: Box::new(refuse),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(listener, settings, handlers).unwrap();
        let addr = server.local_addr();
        let gate = Mutex::new(Some(gate));
        Self { server: Some(server), addr, gate, handled, handled_so_far: Mutex::default() }
    }

    fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Releases all requests that wait in `/wait`.
    fn open_gate(&self) {
        self.gate.lock().unwrap().take();
    }

    /// How often a path was handled.
    fn handled(&self, path: &str) -> usize {
        let mut so_far = self.handled_so_far.lock().unwrap();
        so_far.extend(self.handled.try_iter());
        so_far.iter().filter(|handled| *handled == path).count()
    }

    #[track_caller]
    fn wait_until(&self, mut is_true: impl FnMut() -> bool) {
        let until = clock::instant() + PATIENCE;
        while !is_true() {
            assert!(clock::instant() < until, "waited in vain");
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// `expected`: the status, and whether the connection `stays` or `closes`.
    #[track_caller]
    fn check(&self, bytes: &[u8], expected: &str) {
        let mut client = self.connect();
        client.send_bytes(bytes);
        let answer = client.answer();
        let says_close = answer.header("Connection") == Some("close");
        let shown = bytes[..bytes.len().min(200)].escape_ascii();
        let got = format!("{} {}", answer.status, if says_close { "closes" } else { "stays" });
        assert_eq!(got, expected, "{shown}");
        if says_close {
            client.assert_closed();
        } else {
            client.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(client.answer().text(), "GET /next None x ", "{shown}");
        }
    }
}

fn handle(request: Request, gate: &Receiver<()>) -> Response {
    let text = |text: String| respond_with(200, "text/plain", text);
    let stream = |stream: Box<dyn Read + Send>, length| {
        Response::new(StatusCode(200), Vec::new(), Body::Stream(stream), length, None)
    };
    match request.path.as_str() {
        "/wait" => {
            let _ = gate.recv();
            text("waited".to_owned())
        }
        "/panic" => panic!("as the test wants"),
        "/short" => text("short".to_owned()),
        "/ignores-body" => text(String::new()),
        "/length" => text(request.body.len().to_string()),
        "/id" => text(request.id),
        "/big" => text("x".repeat(3_000_000)),
        "/stream" => stream(Box::new(Cursor::new(stream_text())), None),
        "/stream-of-known-length" => stream(Box::new(Cursor::new(stream_text())), Some(stream_text().len())),
        "/endless" => stream(Box::new(io::repeat(b'x')), None),
        "/cut" => stream(Box::new(Cursor::new(stream_text()).chain(Broken)), None),
        "/cut-of-known-length" => stream(Box::new(Cursor::new(stream_text()).chain(Broken)), Some(1_000_000)),
        "/shorter-than-its-length" => stream(Box::new(Cursor::new(stream_text())), Some(1_000_000)),
        "/header-with-a-line-end" => {
            let header = Header::from_bytes("X-Bad", "a\r\nEvil: yes").unwrap();
            text(String::new()).with_header(header)
        }
        path => match path.strip_prefix("/status/") {
            Some(status) => respond(status.parse().unwrap()),
            None => text(format!(
                "{} {path} {:?} {} {}",
                request.method,
                request.query,
                request.header("hOST").unwrap_or("-"),
                String::from_utf8_lossy(&request.body)
            )),
        },
    }
}

fn refuse(refusal: &Refusal, headers: &[Header]) -> Response {
    match headers.iter().find(|header| header.field.equiv("Accept")) {
        Some(accept) => respond_with(refusal.status, "text/plain", format!("refused {}", accept.value)),
        None => respond(refusal.status),
    }
}

/// Not a multiple of any buffer size.
fn stream_text() -> Vec<u8> {
    (0..100_003_u32).map(|n| b'a' + (n % 26) as u8).collect()
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("as the test wants"))
    }
}

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Client {
    fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    fn send(&self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    /// An error means that the server has closed; its answer says why.
    fn send_bytes(&self, bytes: &[u8]) {
        let _ = (&self.stream).write_all(bytes);
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line
    }

    #[track_caller]
    fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    #[track_caller]
    fn answer_to(&mut self, method: &str) -> Answer {
        let line = self.line();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if method == "HEAD" || matches!(status, 204 | 304) {
            return answer;
        }
        if let Some(length) = answer.header("Content-Length") {
            answer.body = vec![0; length.parse().unwrap()];
            self.reader.read_exact(&mut answer.body).unwrap();
        } else if answer.header("Transfer-Encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(self.line().trim_end(), 16).unwrap();
                let mut chunk = vec![0; size];
                self.reader.read_exact(&mut chunk).unwrap();
                answer.body.extend(chunk);
                assert_eq!(self.line(), "\r\n");
                if size == 0 {
                    break;
                }
            }
        } else {
            self.reader.read_to_end(&mut answer.body).unwrap();
        }
        answer
    }

    /// Waits for the end of the connection, and checks that nothing more arrives.
    #[track_caller]
    fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Err(err) if matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("the connection stays open")
            }
            _ => assert_eq!(rest.escape_ascii().to_string(), ""),
        }
    }
}

impl Answer {
    /// The value of the only header with this name.
    #[track_caller]
    fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(header, _)| header == name);
        let value = named.next().map(|(_, value)| value.as_str());
        assert!(named.next().is_none(), "{name} twice");
        value
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}
