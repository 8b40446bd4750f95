//! Origins and the headers of every answer.

use crate::support::client::Transport;
use crate::support::http::{Request, Response};
use crate::support::server::Servers;
use crate::support::text;

const LISTED: &str = "https://app.example";

fn requests() -> Vec<Request> {
    vec![
        Request::upgrade("/realtime/n1/ws"),
        Request::post("/realtime/n1/s", r#"[{"l":"open","v":1}]"#),
        Request::post("/realtime/n1/e", r#"[{"l":"open","v":1}]"#),
        Request::post("/realtime/n1/x", r#"[{"l":"open","v":1}]"#),
        Request::get("/realtime/feed/n1?channel=chat:1&wait=0"),
        Request::get("/realtime/client.js"),
    ]
}

fn has_no_cors(answer: &Response) {
    let found = answer.head.headers.iter().find(|(name, _)| name.starts_with("access-control-"));
    assert_eq!(found, None);
}

#[tokio::test]
async fn an_origin_that_is_not_listed_is_refused_on_every_kind() {
    // spec: M7, M8, M9
    let servers = Servers::suite();
    assert_eq!(Transport::ALL.len(), 4);
    for origin in [
        "https://evil.example",
        "null",
        "",
        "https://app.example.evil.com",
        "https://evilapp.example",
        "https://app.example:444",
        "http://app.example",
        "https://user@app.example",
        "https://app.example/",
        "https://app.example.",
        "https://notex.com",
        "https://ex.com",
        "https://a.ex.com.evil.example",
        "https://app.example, https://app.example",
        "file://",
    ] {
        for request in requests() {
            let answer = servers.send(request.clone().header("origin", origin)).await;
            assert_eq!(answer.status, 403, "{origin} {request:?}");
            assert_eq!(answer.code(), "bad_origin", "{origin}");
            assert_eq!(text(&answer.json(), "l"), "error");
            has_no_cors(&answer);
        }
    }
}

#[tokio::test]
async fn two_origins_are_none_that_is_listed() {
    // spec: M7
    let request = Request::post("/realtime/n1/x", r#"[{"l":"open","v":1}]"#);
    let request = request.header("origin", LISTED).header("origin", "https://evil.example");
    assert_eq!(Servers::suite().send(request).await.status, 403);
}

#[tokio::test]
async fn a_wildcard_stands_for_one_or_more_labels_before_the_dot() {
    let servers = Servers::suite();
    for (origin, status) in [
        ("https://a.ex.com", 200),
        ("https://a.b.ex.com", 200),
        ("https://ex.com", 403),
        ("https://xex.com", 403),
        ("https://.ex.com", 403),
    ] {
        let request = Request::post("/realtime/n1/x", r#"[{"l":"open","v":1}]"#);
        let answer = servers.send(request.header("origin", origin)).await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test]
async fn an_absent_origin_is_accepted_and_gets_no_cors_header() {
    // spec: M7, M8
    let request = Request::post("/realtime/n1/x", r#"[{"l":"open","v":1}]"#);
    let answer = Servers::suite().send(request).await;
    assert_eq!(answer.status, 200);
    has_no_cors(&answer);
}

/// `pushed`: it is a stream, and says that it is not encoded.
fn is_dressed(answer: &Response, pushed: bool) {
    assert_eq!(answer.header("cache-control"), Some("no-cache, no-store, no-transform"));
    assert_eq!(answer.header("content-encoding"), pushed.then_some("identity"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("access-control-allow-origin"), Some(LISTED));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("vary").map(str::to_ascii_lowercase).as_deref(), Some("origin"));
}

#[tokio::test]
async fn every_answer_carries_the_headers_refusals_included() {
    // spec: M8, M9
    let servers = Servers::suite();
    for (request, status) in [
        (Request::post("/realtime/n1/x", r#"[{"l":"open","v":1}]"#), 200),
        (Request::get("/realtime/feed/n1?channel=chat:1&wait=0"), 200),
        (Request::get("/realtime/n1/ws"), 426),
        (Request::post("/realtime/n1/x", "rubbish"), 400),
        (Request::post("/realtime/n1/s", "rubbish"), 400),
        (Request::post("/realtime/n1/e", r#"[{"l":"open","v":1,"token":"x"}]"#), 401),
        (Request::post("/realtime/n!/x", "[]"), 400),
        (Request::get("/realtime/n1/x"), 405),
        (Request::get("/realtime/n1/nothing"), 404),
        (Request::get("/realtime/nothing"), 404),
        (Request::get("/realtime/feed/n1?channel=doc:1&wait=0"), 401),
        (Request::get("/realtime/feed/n1?channel=nowhere:1&wait=0"), 404),
        (Request::post("/realtime/n1/x", vec![b' '; 300 << 10]), 413),
    ] {
        let answer = servers.send(request.clone().header("origin", LISTED)).await;
        assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
        is_dressed(&answer, false);
        if status >= 400 {
            assert_eq!(text(&answer.json(), "l"), "error");
            assert_ne!(text(&answer.json(), "message"), "");
            assert_eq!(text(&answer.json(), "scope"), "link");
        }
    }
}

#[tokio::test]
async fn a_stream_and_an_upgrade_carry_the_headers_too() {
    // spec: M8
    let servers = Servers::suite();
    for (request, status) in requests().into_iter().zip([101, 200, 200]) {
        let request = request.header("origin", LISTED);
        let (head, _) = request.begin(servers.pick()).await.unwrap();
        assert_eq!(head.status, status);
        is_dressed(&Response { status, head, body: Vec::new() }, status == 200);
    }
}

#[tokio::test]
async fn a_preflight_names_what_the_client_sends_and_echoes_nothing() {
    let servers = Servers::suite();
    let preflight = |origin: &str| {
        Request::new("OPTIONS", "/realtime/n1/x")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-evil, authorization")
    };
    let answer = servers.send(preflight(LISTED)).await;
    assert_eq!(answer.status, 204);
    let allowed = answer.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("authorization") && !allowed.contains("x-evil"), "{allowed}");
    let refused = servers.send(preflight("https://evil.example")).await;
    assert_eq!(refused.status, 403);
    has_no_cors(&refused);
}
