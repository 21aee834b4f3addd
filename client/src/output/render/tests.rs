use super::*;

fn text(text: &'static str) -> Reply {
    Reply::Text(text.as_bytes().into())
}

fn map(pairs: &[(&'static str, Reply)]) -> Reply {
    Reply::Map(pairs.iter().map(|(key, value)| (text(key), value.clone())).collect())
}

fn shown(value: &Reply, terminal: bool) -> String {
    let mut out = Vec::new();
    write_reply(&mut out, value, terminal).unwrap();
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn same_everywhere(value: &Reply, expected: &str) {
    assert_eq!(shown(value, false), expected);
    assert_eq!(shown(value, true), expected);
}

#[test]
fn single_values_are_lines() {
    for (value, expected) in [
        (text("OK"), "OK\n"),
        (text(""), "\n"),
        (text("line\n"), "line\n"),
        (Reply::Integer(42), "42\n"),
        (Reply::Float(1.5), "1.5\n"),
        (Reply::Float(2.0), "2.0\n"),
        (Reply::Float(f64::NEG_INFINITY), "-inf\n"),
        (Reply::Float(f64::NAN), "nan\n"),
        (Reply::Boolean(true), "true\n"),
        (Reply::Null, "(null)\n"),
        (Reply::List(vec![]), "(empty)\n"),
        (Reply::Map(vec![]), "(empty)\n"),
    ] {
        same_everywhere(&value, expected);
    }
}

#[test]
fn errors_lose_only_the_general_kind() {
    same_everywhere(&Reply::Error("ERR no such key".into()), "error: no such key\n");
    same_everywhere(&Reply::Error("DENIED ask for a key".into()), "error: DENIED ask for a key\n");
}

#[test]
fn lists_and_maps_are_lines() {
    let nested = Reply::List(vec![Reply::Integer(1), Reply::List(vec![text("x"), text("y")])]);
    same_everywhere(&nested, "1\nx, y\n");
    let deep = Reply::List(vec![Reply::List(vec![nested, Reply::Null])]);
    same_everywhere(&deep, "[1, [x, y]], (null)\n");
    let inner = map(&[("a", Reply::Integer(1)), ("b", Reply::List(vec![]))]);
    let outer =
        map(&[("name", text("x")), ("inner", inner), ("tags", Reply::List(vec![text("t")]))]);
    same_everywhere(&outer, "name: x\ninner: a: 1, b: (empty)\ntags: t\n");
}

#[test]
fn lists_of_maps_are_tables_at_terminals() {
    let list = Reply::List(vec![
        map(&[("name", text("clock")), ("calls", Reply::Integer(7))]),
        map(&[("name", text("日本")), ("state", text("a\nb"))]),
    ]);
    assert_eq!(shown(&list, false), "name: clock, calls: 7\nname: 日本, state: a\nb\n");
    assert_eq!(
        shown(&list, true),
        "name   calls  state\n\
         clock  7\n\
         日本          a\\nb\n"
    );
    let mixed = Reply::List(vec![map(&[("a", Reply::Null)]), text("x")]);
    same_everywhere(&mixed, "a: (null)\nx\n");
}

#[test]
fn terminals_get_no_control_characters() {
    let bytes = b"a\x1b[2Jb\r\n\tc\x07\x7f\xc2\x9b1m\xff\xc3\xa9";
    let value = Reply::Text(bytes.as_slice().into());
    assert_eq!(shown(&value, true), "a\\x1b[2Jb\r\n\tc\\x07\\x7f\\x9b1m\\xffé\n");
    let mut out = Vec::new();
    write_reply(&mut out, &value, false).unwrap();
    assert_eq!(out, [bytes.as_slice(), b"\n"].concat());
    let hostile = Reply::Text("\x1b]0;x".into());
    let pair = Reply::Map(vec![(hostile.clone(), hostile.clone())]);
    for value in [
        hostile.clone(),
        Reply::Error("\x1b]0;x".into()),
        pair.clone(),
        Reply::List(vec![hostile]),
        Reply::List(vec![pair]),
    ] {
        assert!(!shown(&value, true).contains('\x1b'), "{value:?}");
    }
}

#[test]
fn pushes_name_their_kind() {
    let mut out = Vec::new();
    write_push(&mut out, &[text("notice"), text("going\x1b down")], Escape::Controls).unwrap();
    assert_eq!(out, b"notice: going\\x1b down\n");
    out.clear();
    write_push(&mut out, &[text("plugin"), text("missed"), text("44")], Escape::Controls).unwrap();
    assert_eq!(out, b"plugin: missed, 44\n");
}

#[test]
fn redis_line_ends_stay_at_terminals() {
    assert_eq!(shown(&text("a\r\nb\r\n"), true), "a\r\nb\r\n");
    assert_eq!(shown(&text("a\rb\r"), true), "a\\rb\\r\n");
}
