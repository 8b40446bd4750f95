//! Exchanges: long and short polling, answers that are lost, requests that are repeated.

use serde_json::{Value, json};

use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::http::{Connection, Request};
use crate::support::server::Servers;
use crate::support::{text, unique, wait};

/// A session that is polled by hand: each request is the test's own.
struct Session {
    servers: Servers,
    ticket: String,
    link: u64,
    count: u64,
}

fn request(frames: &[Value]) -> Request {
    Request::post("/realtime/n1/x", serde_json::to_vec(frames).unwrap())
}

async fn ask(servers: &Servers, frames: &[Value]) -> Vec<Value> {
    let answer = servers.send(request(frames)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_array().unwrap().clone()
}

impl Session {
    /// Opens one that has counted everything that opening brings.
    async fn open(channel: &str) -> Self {
        let servers = Servers::suite();
        let open = json!({ "l": "open", "v": 1, "subs": [{ "ch": channel }] });
        let frames = ask(&servers, &[open]).await;
        let kinds: Vec<_> = frames.iter().map(|frame| text(frame, "l")).collect();
        assert_eq!(&kinds[..2], ["hello", "attached"]);
        let ticket = text(&frames[0], "ticket").to_owned();
        Self { servers, ticket, link: 1, count: frames.len() as u64 - 2 }
    }

    fn attach(&self, wait: u64) -> Value {
        json!({ "l": "attach", "ticket": self.ticket, "link": self.link, "count": self.count,
            "wait": wait })
    }

    /// The next poll, with more frames.
    async fn poll(&mut self, wait: u64, more: &[Value]) -> Vec<Value> {
        self.link += 1;
        let frames = ask(&self.servers, &[&[self.attach(wait)], more].concat()).await;
        self.count += frames.iter().filter(|frame| frame.get("l").is_none()).count() as u64;
        frames
    }
}

fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|f| [text(f, "l"), text(f, "t")].into_iter().max().unwrap()).collect()
}

fn data(frames: &[Value]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame["data"].as_u64()).collect()
}

#[tokio::test]
async fn a_poll_is_answered_empty_when_its_wait_is_over_and_at_once_when_it_is_zero() {
    // demand: 7, 8
    let mut session = Session::open(&unique("chat:")).await;
    for wait in [0, 300, 0] {
        let frames = session.poll(wait, &[]).await;
        assert_eq!(kinds(&frames), ["attached"]);
        assert_eq!(frames[0]["link"], session.link);
        assert_eq!(frames[0]["from"], session.count);
    }
}

#[tokio::test]
async fn a_poll_is_answered_at_the_event() {
    // demand: 7
    let channel = unique("chat:");
    let mut session = Session::open(&channel).await;
    let servers = session.servers.clone();
    let (frames, _) = tokio::join!(session.poll(30_000, &[]), servers.publish(&channel, 7));
    assert_eq!(data(&frames), [7]);
}

#[tokio::test]
async fn short_polls_get_every_event_once() {
    // demand: 8
    let channel = unique("chat:");
    let mut session = Session::open(&channel).await;
    let mut got = Vec::new();
    for number in 0..30 {
        session.servers.publish(&channel, number).await;
        if number % 3 == 0 {
            got.extend(data(&session.poll(0, &[]).await));
        }
    }
    while got.len() < 30 {
        got.extend(data(&session.poll(100, &[]).await));
    }
    assert_eq!(got, (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_is_lost_between_two_polls() {
    // demand: 9
    let channel = unique("chat:");
    let mut session = Session::open(&channel).await;
    assert_eq!(kinds(&session.poll(0, &[]).await), ["attached"]);
    session.servers.publish(&channel, 1).await;
    let mut got = Vec::new();
    while got.is_empty() {
        got = data(&session.poll(1_000, &[]).await);
    }
    assert_eq!(got, [1]);
}

#[tokio::test]
async fn an_answer_that_was_cut_mid_body_comes_again_with_the_same_frames() {
    // demand: 9
    // spec: M19, S2
    let channel = unique("chat:");
    let mut session = Session::open(&channel).await;
    session.servers.publish_many(&channel, (0..50).map(Value::from)).await;
    session.link += 1;
    let poll = [session.attach(5_000)];
    let mut cut = Connection::open(session.servers.pick()).await.unwrap();
    cut.write(&request(&poll).bytes()).await.unwrap();
    let head = cut.head().await.unwrap();
    assert_eq!(head.status, 200);
    drop(cut);
    // The same request again, then a third time: the same frames with the same numbers.
    let again = ask(&session.servers, &poll).await;
    let third = ask(&session.servers, &poll).await;
    assert_eq!(again[0]["from"], session.count);
    assert!(!data(&again).is_empty());
    assert_eq!(again, third);
    // A higher poll with the old count gets them too, and what came since.
    let higher = session.poll(0, &[]).await;
    assert_eq!(higher[0]["from"], session.count - data(&higher).len() as u64 - marks(&higher));
    assert_eq!(data(&higher)[..data(&again).len()], data(&again)[..]);
}

/// Frames that mark the end of a replay.
fn marks(frames: &[Value]) -> u64 {
    frames.iter().filter(|frame| text(frame, "t") == "caught_up").count() as u64
}

#[tokio::test]
async fn of_two_polls_with_one_number_the_older_is_answered_empty() {
    // spec: M19, S1
    let channel = unique("chat:");
    let mut session = Session::open(&channel).await;
    session.link += 1;
    let poll = [session.attach(30_000)];
    let mut older = Connection::open(session.servers.pick()).await.unwrap();
    older.write(&request(&poll).bytes()).await.unwrap();
    let mut newer = Connection::open(session.servers.pick()).await.unwrap();
    newer.write(&request(&poll).bytes()).await.unwrap();
    // Whichever came first is answered; a publish then answers the other.
    let first = tokio::select! {
        answer = older.response() => answer.unwrap(),
        answer = newer.response() => answer.unwrap(),
    };
    assert_eq!(kinds(first.json().as_array().unwrap()), ["attached"]);
}

#[tokio::test]
async fn a_higher_poll_supersedes_one_that_waits() {
    // spec: M17
    let channel = unique("chat:");
    let mut session = Session::open(&channel).await;
    session.link += 1;
    let mut waiting = Connection::open(session.servers.pick()).await.unwrap();
    waiting.write(&request(&[session.attach(30_000)]).bytes()).await.unwrap();
    // Only once it is the link can another be above it.
    let came = async || session.servers.metric("throughline_http_requests_total").await >= 1.0;
    wait::until("the poll came", came).await;
    let noop = json!({ "t": "noop", "seq": 1 });
    let above = session.poll(0, &[noop]).await;
    assert_eq!(above[0]["link"], 3);
    let lower = waiting.response().await.unwrap().json();
    assert_eq!(text(&lower[0], "l"), "superseded");
    assert_eq!(lower[0]["link"], 3);
    assert_eq!(lower.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_lower_link_is_superseded_and_what_it_sends_is_not_applied() {
    // spec: M18
    let channel = unique("chat:");
    let mut session = Session::open(&channel).await;
    session.poll(0, &[]).await;
    session.poll(0, &[]).await;
    let late = json!({ "l": "attach", "ticket": session.ticket, "link": 2, "count": 0, "wait": 0 });
    let publish = json!({ "t": "publish", "seq": 1, "ch": channel, "data": "late" });
    let frames = ask(&session.servers, &[late, publish]).await;
    assert_eq!(kinds(&frames), ["superseded"]);
    assert_eq!(session.poll(0, &[]).await[0]["up"], 0);
    let history = session.servers.api_get(&format!("/history?channel={channel}")).await;
    assert_eq!(history["events"], json!([]));
}

#[tokio::test]
async fn a_repeated_body_is_applied_once() {
    // spec: M28, S3
    let channel = unique("chat:");
    let mut session = Session::open(&channel).await;
    session.link += 1;
    let publish = json!({ "t": "publish", "seq": 1, "ch": channel, "data": 1 });
    let body = [session.attach(2_000), publish];
    for _ in 0..3 {
        ask(&session.servers, &body).await;
    }
    let history = session.servers.api_get(&format!("/history?channel={channel}")).await;
    assert_eq!(history["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn beyond_a_hole_nothing_is_applied() {
    // spec: M28, S3
    let channel = unique("chat:");
    let mut session = Session::open(&channel).await;
    let publish = |seq: u64| json!({ "t": "publish", "seq": seq, "ch": channel, "data": seq });
    session.poll(0, &[publish(2), publish(3)]).await;
    assert_eq!(session.poll(0, &[]).await[0]["up"], 0);
    session.poll(0, &[publish(1), publish(2), publish(3)]).await;
    let mut up = json!(0);
    while up != 3 {
        up = session.poll(100, &[]).await[0]["up"].clone();
    }
    let history = session.servers.api_get(&format!("/history?channel={channel}")).await;
    let events = history["events"].as_array().unwrap().clone();
    assert_eq!(data(&events), [1, 2, 3]);
}

#[tokio::test]
async fn a_count_that_cannot_be_ends_the_session() {
    // spec: M22
    let mut session = Session::open(&unique("chat:")).await;
    session.link += 1;
    session.count += 5;
    let answer = session.servers.send(request(&[session.attach(0)])).await;
    assert_eq!((answer.status, answer.code()), (409, "bad_count".to_owned()));
    assert_eq!(text(&answer.json(), "scope"), "session");
    session.count = 0;
    let after = session.servers.send(request(&[session.attach(0)])).await;
    assert_eq!(after.code(), "session_gone");
}

#[tokio::test]
async fn an_open_holds_no_session_frame() {
    // spec: M15
    let open = json!({ "l": "open", "v": 1 });
    let noop = json!({ "t": "noop", "seq": 1 });
    let servers = Servers::suite();
    for kind in ["x", "s", "e"] {
        let body = json!([open, noop]).to_string();
        let answer = servers.send(Request::post(&format!("/realtime/n1/{kind}"), body)).await;
        assert!(matches!(answer.code().as_str(), "bad_frame" | "too_many"), "{kind}");
        assert_ne!(answer.status, 200);
    }
}

#[tokio::test]
async fn a_ticket_that_cannot_be_read_is_told_apart_from_a_session_that_is_gone() {
    // spec: M24
    let mut session = Session::open(&unique("chat:")).await;
    session.poll(0, &[]).await;
    let good = std::mem::replace(&mut session.ticket, "rubbish".to_owned());
    let answer = session.servers.send(request(&[session.attach(0)])).await;
    assert_eq!((answer.status, answer.code()), (410, "bad_ticket".to_owned()));
    session.ticket = good;
    session.link += 1;
    let close = json!({ "l": "close" });
    let answer = session.servers.send(request(&[session.attach(0), close])).await;
    assert!(matches!(answer.status, 200 | 410), "{}", answer.text());
    session.link += 1;
    let answer = session.servers.send(request(&[session.attach(0)])).await;
    assert_eq!((answer.status, answer.code()), (410, "session_gone".to_owned()));
}

#[tokio::test]
async fn an_exchange_that_opens_is_answered_at_once_whatever_it_waits_for() {
    // spec: M14
    use crate::support::server::Setup;
    let setup = Setup::suite().set("auto_subscribe", "[]");
    let servers = setup.set("session.provisional", "'10s'").servers();
    let opened = ask(&servers, &[json!({ "l": "open", "v": 1, "wait": 30_000 })]).await;
    assert_eq!(kinds(&opened), ["hello", "attached"]);
    let ticket = text(&opened[0], "ticket");
    let attach = json!({ "l": "attach", "ticket": ticket, "link": 2, "count": 0, "wait": 0 });
    assert_eq!(kinds(&ask(&servers, &[attach]).await), ["attached"]);
}

#[tokio::test]
async fn each_subscription_of_an_open_is_answered_in_order() {
    // spec: M38
    let room = unique("chat:");
    let ch = |ch: &str| json!({ "ch": ch });
    let subs = [ch(&room), ch("nowhere:1"), ch(&room), ch("nowhere:1"), ch("typing:1")];
    let open = json!({ "l": "open", "v": 1, "subs": subs });
    let frames = ask(&Servers::suite(), &[open]).await;
    let answers: Vec<_> =
        frames[2..].iter().map(|frame| (text(frame, "t"), text(frame, "ch"))).collect();
    let due = ["subscribed", "error", "subscribed", "error", "subscribed"];
    let due: Vec<_> = due.into_iter().zip(subs.iter().map(|sub| text(sub, "ch"))).collect();
    assert_eq!(answers[..5], due);
}

#[tokio::test]
async fn a_provisional_session_ends_by_itself_and_joins_nobody() {
    // spec: M14
    use crate::support::server::Setup;
    let servers = Setup::suite().set("session.provisional", "'1s'").servers();
    let channel = unique("chat:");
    let subs = json!([{ "ch": channel, "presence": true }]);
    let watcher = json!({ "subs": subs });
    let mut watcher =
        Client::open(&servers, Transport::WebSocket, watcher, &History::default()).await;
    let members = watcher.until_kind("members").await;
    let open = json!({ "l": "open", "v": 1, "subs": subs });
    let opened = ask(&servers, &[open]).await;
    let ticket = text(&opened[0], "ticket");
    wait::until("the session that nobody answered is over", async || {
        watcher.next_within(std::time::Duration::from_millis(50)).await;
        servers.metric("throughline_sessions{").await <= 1.0
    })
    .await;
    let attach = json!({ "l": "attach", "ticket": ticket, "link": 2, "count": 0, "wait": 0 });
    let answer = servers.send(request(&[attach])).await;
    assert_eq!(answer.code(), "session_gone");
    let presence = servers.api_get(&format!("/presence?channel={channel}")).await;
    assert_eq!(presence["channels"][&channel]["n"], 1, "{members}");
}
