//! The table of errors, which stands in three places.

use std::fmt::Write as _;

use serde::Serialize;
use throughline::protocol::error::ErrorCode;

use crate::{agree, path, updates};

#[derive(Serialize)]
struct Row {
    code: &'static str,
    http: u16,
    close: u16,
    retry: &'static str,
    message: &'static str,
}

fn rows() -> Vec<Row> {
    let rows = ErrorCode::ALL.iter().map(|code| code.row());
    let rows = rows.map(|row| Row {
        code: row.code,
        http: row.http,
        close: row.close,
        retry: row.retry.as_str(),
        message: row.message,
    });
    rows.collect()
}

#[test]
fn the_fixture_of_errors_is_the_table_of_the_code() {
    agree("tests/fixtures/wire/errors.json", &rows());
}

#[test]
fn the_table_of_the_protocol_is_the_table_of_the_code() {
    let mut table =
        String::from("| code | HTTP | close | retry | what to do |\n|---|---|---|---|---|\n");
    for Row { code, http, close, retry, message } in rows() {
        let message = message.replace('|', r"\|");
        writeln!(table, "| `{code}` | {http} | {close} | {retry} | {message} |").unwrap();
    }
    let text = std::fs::read_to_string(path("docs/PROTOCOL.md")).unwrap();
    let (before, rest) = text.split_once("<!-- errors:begin").unwrap();
    let (mark, rest) = rest.split_once("-->\n").unwrap();
    let (is, after) = rest.split_once("<!-- errors:end -->").unwrap();
    if updates() {
        let text = format!("{before}<!-- errors:begin{mark}-->\n{table}<!-- errors:end -->{after}");
        std::fs::write(path("docs/PROTOCOL.md"), text).unwrap();
    } else {
        assert_eq!(is, table, "UPDATE_FIXTURES=1 rewrites it");
    }
}
