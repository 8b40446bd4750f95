//! The application's API against docs/openapi.json. Each answer that any test gets is judged against it
//! too, where it arrives (`tests/support/openapi.rs`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::http::Request;
use crate::support::openapi::{API, Operation};
use crate::support::server::{API_KEY, Servers};
use crate::support::unique;

/// A request with the suite's key.
fn with_key(request: Request) -> Request {
    request.header("authorization", &format!("Bearer {API_KEY}"))
}

fn with_body(operation: &Operation, body: &Value) -> Request {
    let request = Request::post(&operation.path, body.to_string());
    request.header("content-type", "application/json")
}

#[tokio::test]
async fn every_operation_of_the_file_takes_its_example_and_needs_a_key() {
    // demand: 46
    let servers = Servers::suite();
    for operation in &API.operations {
        let example = operation.example();
        operation.takes(&example).unwrap_or_else(|wrong| panic!("{}: {wrong}", operation.path));
        let refused = servers.send(example.clone()).await;
        assert_eq!((refused.status, refused.code()), (401, "unauthorized".to_owned()));
        let answer = servers.send(with_key(example)).await;
        assert_eq!(answer.status, 200, "{}: {}", operation.path, answer.text());
    }
}

#[test]
fn every_route_of_the_api_is_in_the_file() {
    // Each is one line there: `.route("/presence", get(…).post(…))`.
    let source = include_str!("../../src/api/mod.rs");
    let mut routes = BTreeSet::new();
    for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, handlers) = line.split_once('"').expect("a path");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if handlers.contains(&format!("{}(", method.to_ascii_lowercase())) {
                routes.insert((method.to_owned(), format!("/api{path}")));
            }
        }
    }
    assert_eq!(routes, API.routes());
}

#[tokio::test]
async fn what_the_file_refuses_the_server_refuses_and_no_more() {
    // demand: 46
    let servers = Servers::suite();
    for operation in &API.operations {
        for request in changed(operation) {
            // What came is judged where it arrives.
            servers.send(with_key(request)).await;
        }
    }
}

/// The example, each time with one thing changed.
fn changed(operation: &Operation) -> Vec<Request> {
    let example = operation.example();
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(example.body()) else {
        return queries(operation, example.query());
    };
    let mut bodies = vec![json!([]), json!({}), json!("text")];
    let mut more = body.clone();
    more.insert(unique("more"), json!(1));
    bodies.push(more.into());
    for name in body.keys() {
        let mut without = body.clone();
        without.remove(name);
        bodies.push(without.into());
        for other in
            [json!(7), json!(-1), json!(""), json!("a b"), json!([]), json!(["a b"]), json!({})]
        {
            let mut with_other = body.clone();
            with_other.insert(name.clone(), other);
            bodies.push(with_other.into());
        }
    }
    bodies.iter().map(|body| with_body(operation, body)).collect()
}

fn queries(operation: &Operation, example: &str) -> Vec<Request> {
    if example.is_empty() {
        return Vec::new();
    }
    let pairs: Vec<_> = example.split('&').collect();
    let mut queries =
        vec![String::new(), format!("{example}&more=1"), format!("{example}&{example}")];
    for pair in &pairs {
        let name = pair.split('=').next().unwrap_or_default();
        let others: Vec<_> = pairs.iter().filter(|other| other != &pair).copied().collect();
        queries.push(others.join("&"));
        for value in ["", "0", "1", "-1", "1001", "now", "a%20b"] {
            queries.push([&others[..], &[&format!("{name}={value}")]].concat().join("&"));
        }
    }
    let path = operation.example().path().to_owned();
    queries
        .iter()
        .map(|query| Request::new(&operation.method, &format!("{path}?{query}")))
        .collect()
}

#[tokio::test]
async fn what_is_no_operation_is_refused_with_a_code() {
    let servers = Servers::suite();
    for (method, path, code) in [
        ("GET", "/api/nothing", "not_found"),
        ("GET", "/api/users/alice", "not_found"),
        ("GET", "/api/publish", "bad_method"),
        ("DELETE", "/api/presence?user=alice", "bad_method"),
        ("PUT", "/api/users/alice/sessions", "bad_method"),
    ] {
        let answer = servers.send(with_key(Request::new(method, path))).await;
        assert_eq!(answer.code(), code, "{method} {path}");
    }
}
