//! Arbitrary input: nothing panics, and every bound holds. The fuzz targets call the same functions.

use proptest::prelude::*;

use crate::property;

#[path = "../../fuzz/logic.rs"]
mod logic;

#[test]
fn no_text_makes_the_codec_panic() {
    // spec: M3, B2
    property::check(3, 2_000, any::<Vec<u8>>(), |bytes| logic::codec(&bytes));
    let pieces = prop::sample::select(vec![
        r#"{"l":"#,
        r#"{"t":"#,
        r#""open""#,
        r#""publish""#,
        ",",
        ":",
        "}",
        "[",
        "]",
        "d=",
        "1",
        r#""seq""#,
        r#""ch""#,
        r#""a""#,
        r#""data""#,
        "null",
        "9007199254740992",
        "\\u0000",
        "-1",
        r#""attach""#,
        r#""link""#,
        r#""count""#,
        "e30",
        "true",
    ]);
    let texts = prop::collection::vec(pieces, 0..20).prop_map(|pieces| pieces.concat());
    property::check(4, 5_000, texts, |text| logic::codec(text.as_bytes()));
}

#[test]
fn no_input_at_any_time_makes_a_session_panic_or_grow() {
    // spec: B1, B2
    let bytes = prop::collection::vec(any::<u8>(), 0..400);
    property::check(5, 2_000, bytes, |bytes| logic::session(&bytes));
}

#[test]
fn what_the_fuzzer_found_is_as_any_other_input() {
    // spec: B1, B2
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/regressions/session");
    for entry in std::fs::read_dir(folder).unwrap() {
        logic::session(&std::fs::read(entry.unwrap().path()).unwrap());
    }
}
