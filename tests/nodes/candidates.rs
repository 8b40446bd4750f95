//! Candidates on other nodes than the one that has the session: they prove themselves where they
//! are, and the session comes with the `attach`, unseen.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::support::http::{Connection, Request};
use crate::support::wait;
use crate::support::websocket::Socket;
use crate::support::{text, token, unique};

const TAKEN: &str = "throughline_sessions_taken_total";
const WAITING: &str = "throughline_candidates";

/// A session over a WebSocket, and its ticket.
async fn opened(at: SocketAddr, channels: &[&str], members: &Value) -> (Socket, String) {
    let subs: Vec<_> = channels.iter().map(|ch| json!({ "ch": ch })).collect();
    let mut open = json!({ "subs": subs });
    for (key, value) in members.as_object().into_iter().flatten() {
        open[key] = value.clone();
    }
    let mut socket = Socket::open(at, open).await;
    let ticket = text(&socket.until("hello").await, "ticket").to_owned();
    socket.until("attached").await;
    socket.say(&json!({ "l": "pong", "count": 0 })).await;
    // And the announcements, which everybody reads.
    for _ in 0..=channels.len() {
        assert_eq!(text(&socket.text().await, "t"), "subscribed");
    }
    (socket, ticket)
}

/// A WebSocket that shows the ticket and has answered an echo. Where the session is just leaving the
/// node that it came to, it comes again.
async fn candidate(at: SocketAddr, ticket: &str) -> Socket {
    wait::in_time("a candidate is answered", async {
        loop {
            let mut socket = Socket::connect(at).await;
            socket.say(&json!({ "l": "candidate", "v": 1, "ticket": ticket })).await;
            if said(&mut socket, "hello").await.is_none() {
                continue;
            }
            socket.say(&json!({ "l": "echo", "id": "known" })).await;
            if let Some(echo) = said(&mut socket, "echo").await {
                assert_eq!(echo["id"], "known");
                return socket;
            }
        }
    })
    .await
}

/// The next frame of this kind; nothing where the session moves, and its client is to come again.
async fn said(socket: &mut Socket, kind: &str) -> Option<Value> {
    loop {
        let frame = socket.text().await;
        if text(&frame, "l") == kind {
            return Some(frame);
        }
        if text(&frame, "l") == "error" {
            assert!(matches!(text(&frame, "code"), "moved" | "session_kept"), "{frame}");
            return None;
        }
    }
}

/// A candidate that becomes the link, as often as it must come for that; what it was told.
async fn becomes_the_link(
    mut socket: Socket,
    at: SocketAddr,
    ticket: &str,
    attach: Value,
) -> (Value, Socket) {
    wait::in_time("the candidate is the link", async {
        loop {
            socket.say(&attach).await;
            if let Some(attached) = said(&mut socket, "attached").await {
                return (attached, socket);
            }
            socket = candidate(at, ticket).await;
        }
    })
    .await
}

/// A stream of lines.
struct Lines(Connection, Vec<u8>);

impl Lines {
    async fn candidate(at: SocketAddr, ticket: &str) -> (Self, String) {
        let body = json!([{ "l": "candidate", "v": 1, "ticket": ticket }]).to_string();
        let request = Request::post(&format!("/realtime/{}/s", unique("n")), body);
        let (head, connection) = request.begin(at).await.unwrap();
        assert_eq!(head.status, 200);
        let mut lines = Self(connection, Vec::new());
        let hello = lines.next().await;
        (lines, text(&hello, "via").to_owned())
    }

    async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                let frame: Value = serde_json::from_slice(&line).unwrap();
                if text(&frame, "l") == "ping" {
                    continue;
                }
                return frame;
            }
            self.1.extend(self.0.piece().await.unwrap().expect("the stream goes on"));
        }
    }
}

async fn exchange(at: SocketAddr, frames: Value) -> Value {
    let request = Request::post(&format!("/realtime/{}/x", unique("n")), frames.to_string());
    request.send(at).await.unwrap().json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_leaves_the_session_where_it_is_until_it_is_attached() {
    // spec: S1, S4, S5, M17, R3
    let fleet = Fleet::start(2).await;
    let (chat, typing) = (unique("chat:"), unique("typing:"));
    let (mut old, ticket) = opened(fleet.address(0), &[&chat, &typing], &json!({})).await;
    let servers = fleet.servers(&[0, 1]);
    let mut new = candidate(fleet.address(1), &ticket).await;
    assert_eq!(servers.metric(WAITING).await, 1.0);
    for n in 1..4 {
        servers.publish(&typing, n).await;
        assert_eq!(old.text().await["data"], n);
    }
    assert_eq!(servers.metric(TAKEN).await, 0.0);
    new.say(&json!({ "l": "attach", "link": 2, "count": 6 })).await;
    let attached = new.until("attached").await;
    assert_eq!((&attached["link"], &attached["from"]), (&json!(2), &json!(6)));
    assert_eq!(old.until("superseded").await["link"], 2);
    assert_eq!(old.close_code().await, 4443);
    assert_eq!((servers.metric(TAKEN).await, servers.metric(WAITING).await), (1.0, 0.0));
    // Nothing that was counted comes again, and nothing tells that the session moved.
    servers.publish(&chat, "next").await;
    let frame = new.text().await;
    assert_eq!(frame["data"], "next", "{frame}");
    servers.publish(&typing, 4).await;
    assert_eq!(new.text().await["data"], 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_proven_and_attached_by_exchanges_that_come_to_any_node() {
    // spec: S4, S5, M20
    let fleet = Fleet::start(3).await;
    let chat = unique("chat:");
    let (mut old, ticket) = opened(fleet.address(0), &[&chat], &json!({})).await;
    for (turn, at) in [(1, 0), (2, 1), (3, 2)] {
        let (mut stream, via) = Lines::candidate(fleet.address(1), &ticket).await;
        let id = format!("echo-{turn}");
        let publish = json!({ "t": "publish", "seq": turn, "ch": chat, "data": turn });
        let answer = exchange(
            fleet.address(at),
            json!([
                { "l": "attach", "ticket": ticket, "link": 1, "count": 2 },
                { "l": "echo", "id": id, "via": via },
                publish,
            ]),
        )
        .await;
        assert_eq!((text(&answer[0], "l"), &answer[0]["link"]), ("attached", &json!(1)));
        assert_eq!(stream.next().await, json!({ "l": "echo", "id": id }));
        // What goes up with it is the session's, where it is.
        let (first, second) = (old.text().await, old.text().await);
        assert!([&first, &second].iter().any(|frame| frame["data"] == turn), "{first} {second}");
    }
    let servers = fleet.servers(&[0, 1, 2]);
    assert_eq!(servers.metric(TAKEN).await, 0.0);
    let (mut stream, via) = Lines::candidate(fleet.address(1), &ticket).await;
    let attach = json!({ "l": "attach", "ticket": ticket, "link": 2, "count": 8, "via": via });
    let answer = exchange(fleet.address(2), json!([attach])).await;
    assert_eq!((text(&answer[0], "l"), &answer[0]["link"]), ("attached", &json!(2)));
    let attached = stream.next().await;
    assert_eq!((&attached["link"], &attached["from"]), (&json!(2), &json!(8)));
    assert_eq!(old.until("superseded").await["link"], 2);
    assert_eq!(fleet.servers(&[1]).metric(TAKEN).await, 1.0);
    // The same request again, which a browser may send, changes nothing.
    let again = exchange(fleet.address(0), json!([attach])).await;
    assert_eq!(again[0]["link"], 2);
    servers.publish(&chat, "next").await;
    let frame = stream.next().await;
    assert_eq!(frame["data"], "next", "{frame}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_waits_is_superseded_by_a_candidate_of_another_node() {
    // spec: M17, S5
    let fleet = Fleet::start(2).await;
    let (_old, ticket) = opened(fleet.address(0), &[], &json!({})).await;
    let poll = json!([{ "l": "attach", "ticket": ticket, "link": 2, "count": 1, "wait": 30_000 }]);
    let at = fleet.address(1);
    let polls = tokio::spawn(async move { exchange(at, poll).await });
    let relayed = fleet.servers(&[0]);
    let polls_there =
        async || relayed.metric("throughline_links_total{transport=\"poll\"}").await >= 1.0;
    wait::until("the poll is the link", polls_there).await;
    let mut new = candidate(fleet.address(1), &ticket).await;
    new.say(&json!({ "l": "attach", "link": 3, "count": 1 })).await;
    assert_eq!(new.until("attached").await["link"], 3);
    assert_eq!(polls.await.unwrap()[0], json!({ "l": "superseded", "link": 3 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_with_a_lower_link_is_superseded_and_moves_nothing() {
    // spec: M18, S1
    let fleet = Fleet::start(2).await;
    let (mut first, ticket) = opened(fleet.address(0), &[], &json!({ "link": 5 })).await;
    for link in [1, 4, 5] {
        let mut late = candidate(fleet.address(1), &ticket).await;
        late.say(&json!({ "l": "attach", "link": link, "count": 0 })).await;
        assert_eq!(late.until("superseded").await["link"], 5);
        assert_eq!(late.close_code().await, 4443);
    }
    let (_stream, via) = Lines::candidate(fleet.address(1), &ticket).await;
    let attach = json!({ "l": "attach", "ticket": ticket, "link": 4, "count": 0, "via": via });
    let answer = exchange(fleet.address(0), json!([attach])).await;
    assert_eq!(answer, json!([{ "l": "superseded", "link": 5 }]));
    first.say(&json!({ "l": "echo", "id": "still" })).await;
    assert_eq!(text(&first.until("echo").await, "id"), "still");
    assert_eq!(fleet.servers(&[0, 1]).metric(TAKEN).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_candidates_that_attach_at_once_on_several_nodes_the_highest_has_the_session() {
    // spec: S1, S5
    let fleet = Fleet::start(4).await;
    let (_first, ticket) = opened(fleet.address(0), &[], &json!({})).await;
    let servers = fleet.servers(&[0, 1, 2, 3]);
    for turn in 1..8 {
        let mut candidates = Vec::new();
        for node in 0..4 {
            candidates.push(candidate(fleet.address(node), &ticket).await);
        }
        let highest = turn * 4 + 3;
        let attaches = candidates.into_iter().zip(0..).map(|(mut socket, node)| async move {
            let attach = json!({ "l": "attach", "link": turn * 4 + node, "count": 0 });
            socket.say(&attach).await;
            socket
        });
        let mut last = futures::future::join_all(attaches).await.pop().unwrap();
        // Another may have brought it back to its node meanwhile: then the client comes again.
        if let Some(attached) = said(&mut last, "attached").await {
            assert_eq!(attached["link"], highest);
        } else {
            let at = fleet.address(3);
            let again = candidate(at, &ticket).await;
            let attach = json!({ "l": "attach", "link": highest, "count": 0 });
            let (attached, _held) = becomes_the_link(again, at, &ticket, attach).await;
            assert_eq!(attached["link"], highest);
        }
        let one = async || servers.metric("throughline_sessions{").await == 1.0;
        wait::until("the session is in one place", one).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_goes_on_where_the_node_of_a_candidate_goes_away() {
    // spec: S4, B3
    let mut fleet = Fleet::start(2).await;
    let chat = unique("chat:");
    let (mut old, ticket) = opened(fleet.address(0), &[&chat], &json!({})).await;
    let mut new = candidate(fleet.address(1), &ticket).await;
    let (_stream, via) = Lines::candidate(fleet.address(1), &ticket).await;
    fleet.stop(1).await;
    assert_eq!(text(&new.until("error").await, "code"), "draining");
    let attach = json!({ "l": "attach", "ticket": ticket, "link": 2, "count": 2, "via": via });
    exchange(fleet.address(0), json!([attach])).await;
    fleet.servers(&[0]).publish(&chat, "still").await;
    assert_eq!(old.text().await["data"], "still");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_of_a_session_of_another_node_are_bounded() {
    // spec: B1
    let fleet = Fleet::start(2).await;
    let (_old, ticket) = opened(fleet.address(0), &[], &json!({})).await;
    let mut oldest = candidate(fleet.address(1), &ticket).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(candidate(fleet.address(1), &ticket).await);
    }
    assert_eq!(text(&oldest.until("error").await, "code"), "too_many");
    let servers = fleet.servers(&[1]);
    assert_eq!(servers.metric(WAITING).await, 4.0);
    drop(others);
    let none = async || servers.metric(WAITING).await == 0.0;
    wait::until("no candidate waits", none).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_whose_token_is_over_is_refused() {
    // spec: S6
    let fleet = Fleet::start(2).await;
    let user = unique("user");
    let brief = token::expiring(&user, 3);
    let (_old, ticket) = opened(fleet.address(0), &[], &json!({ "token": brief })).await;
    wait::until("a candidate is refused", async || {
        let mut socket = Socket::connect(fleet.address(1)).await;
        socket.say(&json!({ "l": "candidate", "v": 1, "ticket": ticket })).await;
        let frame = socket.text().await;
        let is_refused = text(&frame, "l") == "error";
        assert!(!is_refused || text(&frame, "code") == "token_expired", "{frame}");
        is_refused
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attaches_that_are_given_up_while_a_session_moves_lose_nothing() {
    // spec: S5, M43
    let fleet = Fleet::start(3).await;
    let chat = unique("chat:");
    let (_old, ticket) = opened(fleet.address(0), &[&chat], &json!({})).await;
    for n in 0..100 {
        let mut socket = candidate(fleet.address(n % 3), &ticket).await;
        socket.say(&json!({ "l": "attach", "link": n + 2, "count": 2 })).await;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..6_000))).await;
    }
    let last = candidate(fleet.address(1), &ticket).await;
    // One that was given up may still be bringing it to another node.
    let attach = json!({ "l": "attach", "link": 200, "count": 2 });
    let (attached, mut last) = becomes_the_link(last, fleet.address(1), &ticket, attach).await;
    assert_eq!(attached["from"], 2);
    fleet.servers(&[0, 1, 2]).publish(&chat, "next").await;
    assert_eq!(last.until("event").await["data"], "next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_of_before_a_move_still_finds_the_session() {
    // spec: S5
    let fleet = Fleet::start(3).await;
    let (_old, ticket) = opened(fleet.address(0), &[], &json!({})).await;
    for node in [1, 2] {
        let mut socket = candidate(fleet.address(node), &ticket).await;
        socket.say(&json!({ "l": "attach", "link": node + 1, "count": 0 })).await;
        assert_eq!(socket.until("attached").await["link"], node + 1);
    }
    let poll = json!([{ "l": "attach", "ticket": ticket, "link": 9, "count": 0 }]);
    let attached = &exchange(fleet.address(0), poll).await[0];
    assert_eq!(attached["link"], 9);
    assert_ne!(attached["ticket"], json!(ticket));
    assert_eq!(fleet.servers(&[2]).metric("throughline_sessions{").await, 1.0);
}
