//! Clients that come all at once.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{Client, Transport};
use crate::support::history::History;
use crate::support::http::Request;
use crate::support::server::{Servers, Setup};
use crate::support::text;
use crate::support::wait;

const MANY: usize = 150;
/// Far less than what comes in a second on the slowest machine.
const RATE: u64 = 20;
const BURST: u64 = 20;
const OPENED: &str = "throughline_sessions_opened_total";
const REFUSED: &str = "throughline_sessions_refused_total{code=\"rate_limited\"}";

fn narrow() -> Servers {
    let setup = Setup::suite().set("limits.admission.per_second", &RATE.to_string());
    setup.set("limits.admission.burst", &BURST.to_string()).servers()
}

/// Opens a session, coming back when it is told to. Each wait it was told.
async fn comes(servers: Servers, transport: Transport) -> (Client, Vec<u64>) {
    let (mut waits, history) = (Vec::new(), History::default());
    loop {
        match Client::try_open(&servers, transport, json!({}), &history).await {
            Ok(client) => return (client, waits),
            Err(refusal) => {
                assert_eq!(text(&refusal, "code"), "rate_limited", "{transport:?}: {refusal}");
                let wait = refusal["retry_ms"].as_u64().expect("when to come back");
                waits.push(wait);
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_is_admitted_at_the_rate_and_each_is_told_when_to_come_back() {
    // demand: 97
    // spec: B4, M46
    let servers = narrow();
    let transports = Transport::ALL.into_iter().cycle().take(MANY);
    let herd: Vec<_> = transports.map(|by| tokio::spawn(comes(servers.clone(), by))).collect();
    // By the server's own count, whatever two looks are apart.
    let mut looks = Vec::new();
    wait::until("the whole herd is admitted", async || {
        let before = Instant::now();
        let opened = servers.metric(OPENED).await;
        looks.push((before, opened, Instant::now()));
        opened >= MANY as f64
    })
    .await;
    for (index, (begun, first, _)) in looks.iter().enumerate() {
        for (_, second, ended) in &looks[index..] {
            let most = ended.duration_since(*begun).as_secs_f64() * RATE as f64 + BURST as f64;
            assert!(second - first <= most + 1.0, "{} of {most}", second - first);
        }
    }
    let mut refused = 0;
    for client in herd {
        let (client, waits) = client.await.unwrap();
        assert_eq!(client.ended, None);
        assert!(waits.iter().all(|wait| (1..=25_000).contains(wait)), "{waits:?}");
        refused += waits.len();
    }
    assert!(refused > 0);
    assert_eq!(servers.metric(REFUSED).await, refused as f64);
    assert_eq!(servers.metric(OPENED).await, MANY as f64);
}

#[tokio::test]
async fn a_refusal_for_the_rate_costs_no_look_at_the_token_and_no_session_its_place() {
    // spec: B4, M9
    let servers = narrow();
    let open = json!([{ "l": "open", "v": 1, "token": "none" }]).to_string();
    let mut codes = Vec::new();
    while codes.iter().filter(|(status, _)| *status == 429).count() < 5 {
        let requests = (0..20).map(|_| servers.send(Request::post("/realtime/n1/x", &*open)));
        for answer in futures::future::join_all(requests).await {
            codes.push((answer.status, answer.code()));
            if answer.status == 429 {
                assert!(answer.header("retry-after").is_some());
                assert_eq!(text(&answer.json(), "l"), "error");
            }
        }
    }
    let tokens = codes.iter().filter(|(_, code)| code == "unauthorized").count();
    let rated = codes.iter().filter(|(_, code)| code == "rate_limited").count();
    assert_eq!(tokens + rated, codes.len(), "{codes:?}");
    assert_eq!(servers.metric(REFUSED).await, rated as f64);
    assert_eq!(servers.metric("throughline_tokens_refused_total").await, tokens as f64);
    assert_eq!(servers.metric("throughline_sessions{").await, 0.0);
}
