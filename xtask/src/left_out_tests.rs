use super::*;

/// Two test programs, the first among the output of the programs that its tests start.
const OUTPUT: &str = "\
running 4 tests
test a::works ... ok
test a::redis ... ignored, needs redis-cli
a child's text without an end test a::room ... ignored, needs prlimit, setpriv and root
test a::part ... ignored
test a::says ... that it ... ignored nothing ... ok
test result: ok. 1 passed; 0 failed; 3 ignored; 0 measured; 7 filtered out; finished in 0.16s

running 1 test
test b::redis ... ignored, needs redis-cli
test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

const KEPT: &str = r#"
may-be-missing = ["needs redis-cli", "needs root"]
[linux]
"a part" = 2
[wine]
"needs redis-cli" = 5
[wine-ran]
"client test latency" = 3
"#;

fn left_out(output: &str) -> LeftOut {
    let mut out = LeftOut::default();
    output.lines().for_each(|line| out.read(line));
    out
}

fn numbers(of: &[(&str, usize)]) -> Numbers {
    of.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
}

/// Returns a run that has left these tests out.
fn run(of: &[(&str, usize)]) -> LeftOut {
    LeftOut { by_reason: numbers(of), ..LeftOut::default() }
}

fn kept() -> Kept {
    Kept::parse(KEPT).unwrap()
}

/// Returns the reasons and programs that a judgement names.
fn wrong(judged: Result<(), TaskError>) -> Vec<String> {
    match judged {
        Ok(()) => Vec::new(),
        Err(TaskError::LeftOut(wrong)) => wrong,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn ignored_tests_are_counted_by_reason() {
    let out = left_out(OUTPUT);
    let reasons =
        [("needs redis-cli", 2), ("needs prlimit, setpriv and root", 1), ("no reason", 1)];
    assert_eq!(out.numbers(), numbers(&reasons));
    let said = "4 tests left out: needs prlimit, setpriv and root (1), needs redis-cli (2), \
                no reason (1)";
    assert_eq!(out.to_string(), said);
    assert_eq!(left_out("").to_string(), "0 tests left out");
}

#[test]
fn tests_of_the_summary_alone_count_too() {
    let out = left_out("i.i\ntest result: ok. 1 passed; 0 failed; 2 ignored; 0 measured");
    assert_eq!(out.numbers(), numbers(&[(UNNAMED, 2)]));
}

#[test]
fn filtered_tests_count_under_their_own_reason() {
    let mut out = left_out(OUTPUT);
    out.count_filtered("ends under Wine");
    assert_eq!(out.numbers().get("ends under Wine"), Some(&7));
    assert_eq!(out.numbers().get(UNNAMED), None);
}

#[test]
fn missing_tools_fail_a_strict_run_alone() {
    let out = run(&[("needs redis-cli", 9), ("a part", 2)]);
    assert_eq!(wrong(kept().judge(&out, false, true)), [""; 0]);
    let said = ["'needs redis-cli' leaves out 9 tests, but at most 0 are allowed"];
    assert_eq!(wrong(kept().judge(&out, true, true)), said);
}

#[test]
fn new_reason_fails_every_run() {
    let out = run(&[("a part", 2), ("is slow", 1)]);
    let said = ["'is slow' leaves out 1 tests, but at most 0 are allowed"];
    for (is_strict, is_whole) in [(false, false), (false, true), (true, false), (true, true)] {
        assert_eq!(wrong(kept().judge(&out, is_strict, is_whole)), said);
    }
}

#[test]
fn larger_number_fails_every_run() {
    let out = run(&[("a part", 3)]);
    let said = ["'a part' leaves out 3 tests, but at most 2 are allowed"];
    assert_eq!(wrong(kept().judge(&out, false, false)), said);
    assert_eq!(wrong(kept().judge(&out, true, true)), said);
}

#[test]
fn smaller_number_fails_a_whole_strict_run() {
    let out = run(&[("a part", 1)]);
    let said = ["'a part' leaves out 1 tests: lower its 2"];
    assert_eq!(wrong(kept().judge(&out, true, true)), said);
    assert_eq!(wrong(kept().judge(&out, true, false)), [""; 0]);
    assert_eq!(wrong(kept().judge(&out, false, true)), [""; 0]);
}

#[test]
fn wine_runs_what_it_has_run() {
    let (out, program) = (run(&[("needs redis-cli", 5)]), "client test latency");
    for (ran, said) in [
        (3, None),
        (4, None),
        (2, Some("'client test latency' ran 2 tests, but at least 3 are required".to_owned())),
    ] {
        let judged = kept().judge_wine(&out, &numbers(&[(program, ran)]));
        assert_eq!(wrong(judged), Vec::from_iter(said));
    }
    let judged = kept().judge_wine(&out, &numbers(&[(program, 3), ("host lib host", 1)]));
    assert_eq!(wrong(judged), ["'host lib host' ran 1 tests and has no number"]);
    let judged = kept().judge_wine(&out, &Numbers::new());
    assert_eq!(wrong(judged), ["'client test latency' ran 0 tests, but at least 3 are required"]);
}

#[test]
fn wine_leaves_out_exactly_the_kept_number() {
    let ran = numbers(&[("client test latency", 3)]);
    let judged = |number| wrong(kept().judge_wine(&run(&[("needs redis-cli", number)]), &ran));
    assert_eq!(judged(6), ["'needs redis-cli' leaves out 6 tests, but at most 5 are allowed"]);
    assert_eq!(judged(4), ["'needs redis-cli' leaves out 4 tests: lower its 5"]);
    let part = |number| wrong(kept().judge_part_of_wine(&run(&[("needs redis-cli", number)])));
    assert_eq!(part(4), [""; 0]);
    assert_eq!(part(6), ["'needs redis-cli' leaves out 6 tests, but at most 5 are allowed"]);
}

#[test]
fn numbers_of_wine_are_kept_beside_comments() {
    let text = format!("# All of them.{KEPT}# The last.\n");
    let (out, ran) = (numbers(&[("needs nc", 1)]), numbers(&[("host lib host", 7)]));
    let text = with_wine(&text, &out, &ran).unwrap();
    assert!(text.contains("# All of them.") && text.contains("# The last."), "{text}");
    let kept = Kept::parse(&text).unwrap();
    assert_eq!((kept.wine, kept.wine_ran), (out, ran));
    assert_eq!(kept.linux, numbers(&[("a part", 2)]));
}

#[test]
fn malformed_file_is_an_error() {
    for (old, new) in [("[wine]", "[vine]"), ("= 2", "= -2"), ("may-be", "must-be")] {
        assert!(Kept::parse(&KEPT.replace(old, new)).is_err(), "{new}");
    }
}

/// Returns the reasons in the sources, `ignore = ".."`.
fn reasons_of_the_sources() -> BTreeSet<String> {
    let mut folders: Vec<PathBuf> =
        ["client", "crates", "host", "plugin-api", "plugins", "templates", "tests"]
            .map(|folder| workspace::root().join(folder))
            .into();
    let mut reasons = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = fs::read_to_string(path).unwrap();
                let named = code.split("ignore = \"").skip(1);
                reasons.extend(named.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
    reasons
}

#[test]
fn kept_reasons_are_those_of_the_sources() {
    let kept = Kept::read().unwrap();
    let mut reasons = kept.may_be_missing.clone();
    reasons.extend(kept.linux.into_keys());
    let found = reasons_of_the_sources();
    // A doc comment of tests/src/tool.rs has it.
    assert_eq!(reasons, found.into_iter().filter(|reason| reason != "needs ..").collect());
}
