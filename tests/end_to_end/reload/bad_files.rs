//! Each bad file: rejected at the start while others are served, rejected as a replacement under
//! load while the old code serves, and rejected by `host check`.

use std::{fs, thread};

use dropin_tests::{
    Frame, Host, LIMIT, Lines, Load, Setup,
    files::replace_any,
    reload::marked,
    setup::run_host_by,
    system::{children, threads},
    wait_until,
};

#[cfg(unix)]
use super::folder::with_file_permissions;
use super::{
    bad_bytes::{self, Bad, Entry, name},
    host_with, replace, with_version,
};

/// Defines the tests of a bad file in a plugins folder.
macro_rules! in_a_folder {
    ($(#[$needs:meta])* $bad:ident) => {
        $(#[$needs])*
        #[test]
        fn is_rejected_at_start_and_others_serve() {
            super::at_the_start(&super::bad_bytes::$bad);
        }

        $(#[$needs])*
        #[test]
        fn is_rejected_as_replacement_and_old_code_serves() {
            super::as_a_replacement(&super::bad_bytes::$bad);
        }
    };
}

/// Defines the tests of each bad file, with these attributes.
macro_rules! bad_files {
    ($($(#[$needs:meta])* $name:ident: $bad:ident;)*) => {$(
        mod $name {
            in_a_folder! { $(#[$needs])* $bad }

            $(#[$needs])*
            #[test]
            fn is_refused_by_check() {
                super::by_check(&super::bad_bytes::$bad);
            }
        }
    )*};
}

/// Defines the tests as `bad_files` does, for files that are written in C.
macro_rules! bad_files_in_c {
    ($($(#[$needs:meta])* $name:ident: $bad:ident;)*) => {
        bad_files! {$(
            $(#[$needs])*
            #[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
            $name: $bad;
        )*}
    };
}

bad_files! {
    a_text_file: TEXT;
    an_empty_file: EMPTY;
    a_directory: DIRECTORY;
    #[cfg(unix)]
    #[cfg_attr(not(tool = "mkfifo"), ignore = "needs mkfifo")]
    a_pipe: PIPE;
    #[cfg(unix)]
    #[cfg_attr(not(right = "permissions"), ignore = "needs permissions that hold for root")]
    a_file_that_cannot_be_read: SECRET;
    half_a_library: HALF;
    half_a_library_without_sections: HALF_WITHOUT_SECTIONS;
    // Microsoft's linker writes nothing behind the mapped part.
    #[cfg(not(target_env = "msvc"))]
    a_library_without_its_end: WITHOUT_ITS_END;
    the_first_bytes_of_a_library: FIRST_BYTES;
    a_library_for_another_processor: OTHER_PROCESSOR;
    a_plugin_of_another_abi_stable: OTHER_ABI_STABLE;
    a_plugin_with_another_layout: OTHER_LAYOUT;
    a_plugin_for_another_major_version: OTHER_MAJOR;
    #[cfg(target_os = "linux")]
    a_destructor_that_aborts: ABORTS_LAST;
    #[cfg(target_os = "linux")]
    a_destructor_that_exits_well: EXITS_LAST;
    a_plugin_whose_create_fails: CREATE_FAILS;
    a_plugin_whose_create_panics: CREATE_PANICS;
    a_command_with_an_illegal_name: ILLEGAL_NAME;
    a_command_with_an_illegal_usage: ILLEGAL_USAGE;
    a_command_that_is_there_twice: TWICE;
    a_command_of_the_hosts_own: CLAIMS_A_BUILTIN;
}

bad_files_in_c! {
    a_library_that_is_no_plugin: PLAIN_C;
    #[cfg(unix)]
    a_library_that_needs_what_is_not_there: INCOMPLETE;
    a_library_with_something_else_for_a_header: WRONG_MAGIC;
    a_library_with_a_hollow_header: HOLLOW_HEADER;
    a_constructor_that_crashes: CRASHES;
    a_constructor_that_aborts: ABORTS;
    #[cfg(unix)]
    a_constructor_that_kills_its_process: KILLS_ITSELF;
    a_constructor_that_exits_well: EXITS_WELL;
    a_constructor_that_exits_badly: EXITS_BADLY;
    a_constructor_that_hangs: HANGS;
    a_constructor_that_spins_and_ignores_signals: HANGS_DEAF;
    a_constructor_that_prints_a_gigabyte: PRINTS_A_GIGABYTE;
    a_constructor_that_forges_a_name: FORGES_A_NAME;
    a_constructor_that_forges_the_hosts_word: FORGES_THE_HOSTS_WORD;
    #[cfg(unix)]
    a_constructor_that_forges_a_pipe: FORGES_A_PIPE;
    #[cfg(unix)]
    a_constructor_that_forges_a_report_without_end: FORGES_WITHOUT_END;
    a_constructor_that_forges_a_terabyte: FORGES_A_TERABYTE;
}

// It is bad only beside another plugin.
mod a_command_of_another_plugin {
    in_a_folder! { CLASHES }
}

/// Returns a host whose time limits suit this file.
fn setup(bad: &Bad) -> Setup {
    Setup::new().flags(&["--probe-timeout", probe_timeout(bad)])
}

/// Returns the time limit of a probe in seconds. It holds for good files as well.
fn probe_timeout(bad: &Bad) -> &'static str {
    if bad.hangs { "6" } else { "60" }
}

/// Returns the command that starts a host for this file; empty for the host itself.
fn starter(what: &Entry) -> &'static [&'static str] {
    match what {
        #[cfg(unix)]
        Entry::Secret(_) => with_file_permissions(),
        _ => &[],
    }
}

/// Waits for the log's line on the bad file, and checks its reason.
#[track_caller]
fn wait_for_refusal(host: &Host, bad: &Bad) -> String {
    let line = host.wait_for_log(&format!(": refused {} (", name()));
    let (head, why) = line.split_once(" ms): ").expect("the time that it took");
    assert!(head.contains(" ERROR "), "{line}");
    assert!(bad.why.iter().any(|reason| why.contains(reason)), "{line}");
    for line in host.log().lines() {
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        let known = ["ERROR", "WARN", "INFO", "DEBUG"].contains(&level);
        assert!(known, "not a line of its own: {line}");
    }
    assert!(host.log().len() < 1 << 20, "the log is flooded");
    why.to_owned()
}

fn at_the_start(bad: &Bad) {
    let what = (bad.what)();
    let setup = setup(bad).plugins(&["text"]);
    what.put(&setup.plugins_folder().join(name()));
    let mut host = setup.started_by(starter(&what)).start();
    // This name comes first, so that the other file is rejected.
    if bad.alone {
        wait_for_refusal(&host, bad);
        host.wait_for_answer("echo fine", "fine");
    } else {
        assert!(host.log().contains(bad.why[0]), "{}", host.log());
        assert_eq!(Lines::connect(&host).ask("ping"), "PONG");
    }
    // The addresses and the fingerprint.
    assert_eq!(host.stdout().lines().count(), 2, "the host's own output is its own");
    assert_eq!(host.ks(), Some(0));
}

/// Accepts versions in the order of their numbers, and nothing else.
fn in_order() -> impl FnMut(&Frame) -> bool + Send + 'static {
    let mut newest = "1";
    move |reply| {
        if *reply == "2".into() {
            newest = "2";
        }
        *reply == newest.into()
    }
}

fn as_a_replacement(bad: &Bad) {
    let what = (bad.what)();
    let setup = with_version(setup(bad), "chameleon", "1");
    let mut host = setup.started_by(starter(&what)).start();
    host.wait_for_answer("colour", "1");
    host.wait_for_answer("echo hello", "hello");
    let load = Load::new()
        .client(&host, &["colour"], 1, in_order())
        .client(&host, &["colour"], 1, in_order())
        .client(&host, &["colour"], 16, in_order())
        .client(&host, &["echo", "hello"], 16, |reply| *reply == "hello".into());
    load.flow();
    // A probe has reported before its thread ends.
    let is_probed = || own_threads(&host).iter().any(|name| name == "probe");
    wait_until("no thread is left of an earlier probe", LIMIT, || !is_probed());
    // A look may miss a thread while another one ends.
    let mut idle = Vec::new();
    wait_until("two looks show the same threads", LIMIT, || {
        let before = std::mem::replace(&mut idle, own_threads(&host));
        idle == before
    });
    // On Windows a loaded copy stays.
    let copies = if cfg!(windows) { host.copies() } else { Vec::new() };
    // Windows counts the process of the console.
    let others = if cfg!(windows) { children(host.pid()) } else { 0 };
    let library = host.library("chameleon");
    what.put(&library);
    let why = wait_for_refusal(&host, bad);
    load.flow();
    let info = host.info("chameleon");
    assert_eq!(info.get("status"), Some(&"serving".into()), "{info:?}");
    assert_eq!(info.get("generation"), Some(&1.into()), "{info:?}");
    let failure = info.get("last-failure").unwrap().as_str().to_owned();
    assert!(failure.ends_with(&format!(" s ago: {why}")), "{failure}");
    assert!(!host.has_ended());
    wait_until("no thread is left of the attempt", LIMIT, || are_among(&own_threads(&host), &idle));
    wait_until("no process is left of the attempt", LIMIT, || children(host.pid()) == others);
    // Another file that is being checked has one for a moment.
    wait_until("no private copy is left of the attempt", LIMIT, || host.copies() == copies);
    // A good file is loaded as before.
    let beside = library.with_file_name(".good");
    fs::write(&beside, marked("chameleon", "2")).unwrap();
    replace_any(&library, &beside);
    host.wait_for_answer("colour", "2");
    load.flow();
    load.stop();
    assert_eq!(host.figure("chameleon", "errors"), 0);
    assert_eq!(host.ks(), Some(0));
}

fn by_check(bad: &Bad) {
    let what = (bad.what)();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name());
    what.put(&file);
    let arguments = ["check", file.to_str().unwrap(), "--probe-timeout", probe_timeout(bad)];
    let ended = run_host_by(starter(&what), &arguments);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    let said = format!("host: {} would be refused: ", file.display());
    assert!(ended.stderr.starts_with(&said), "{ended:?}");
    assert!(bad.why.iter().any(|reason| ended.stderr.contains(reason)), "{ended:?}");
}

/// Returns the host's threads that serve no session.
fn own_threads(host: &Host) -> Vec<String> {
    let mut names: Vec<_> = threads(host.pid())
        .into_iter()
        .filter(|name| !["session ", "runner ", "spare"].iter().any(|of| name.starts_with(of)))
        .collect();
    names.sort();
    names
}

/// Returns whether each of these threads is among the earlier ones. A thread that has just begun
/// has the name of the one that started it, so that the earlier ones may have been more.
fn are_among(threads: &[String], earlier: &[String]) -> bool {
    let mut earlier = earlier.to_vec();
    threads.iter().all(|name| {
        let place = earlier.iter().position(|other| other == name);
        place.map(|place| earlier.swap_remove(place)).is_some()
    })
}

#[test]
fn create_failure_after_probe_keeps_old_code() {
    let host = host_with("chameleon", "1");
    host.place("careful", &dropin_tests::reload::stripped("late-failure"));
    host.wait_for_answer("careful", "steady");
    fs::write(host.own_dir().join("data/late-failure/stone"), "").unwrap();
    host.place("careful", &dropin_tests::reload::variant("late-failure", 1));
    let line = host.wait_for_log(": refused ");
    assert!(line.contains("its `create` failed: stumbled over a stone"), "{line}");
    assert_eq!(Lines::connect(&host).ask("careful"), "steady");
    fs::remove_file(host.own_dir().join("data/late-failure/stone")).unwrap();
    let said = Lines::connect(&host).ask("plugin reload late-failure");
    assert!(said.starts_with("plugin 'late-failure' serves generation "), "{said}");
    assert_eq!(Lines::connect(&host).ask("careful"), "steady");
}

#[test]
#[cfg_attr(not(tool = "cc"), ignore = "needs cc")]
fn hanging_probe_delays_no_client_and_no_shutdown() {
    let what = (bad_bytes::HANGS.what)();
    let setup = Setup::new().flags(&["--probe-timeout", "600"]);
    let mut host = with_version(setup, "chameleon", "1").start();
    let load = Load::new().client(&host, &["colour"], 1, in_order());
    what.put(&host.library("chameleon"));
    let size = fs::metadata(host.library("chameleon")).unwrap().len();
    let is_copied = |name: &String| {
        let copy = fs::metadata(host.own_dir().join("copies").join(name));
        copy.is_ok_and(|copy| copy.len() == size)
    };
    wait_until("the probe runs", LIMIT, || match cfg!(target_os = "linux") {
        true => children(host.pid()) == 1,
        // Its probe starts once it has been copied.
        false => host.copies().iter().any(is_copied),
    });
    load.flow();
    load.stop();
    assert_eq!(host.ks(), Some(0));
}

#[test]
fn many_bad_files_leave_good_plugins_serving() {
    let host = host_with("chameleon", "1");
    thread::scope(|scope| {
        for number in 0..8 {
            let host = &host;
            scope.spawn(move || host.place(&format!("bad-{number}"), b"no library at all"));
        }
    });
    for number in 0..8 {
        host.wait_for_log(&format!(
            "refused {}",
            dropin_tests::built::library_name(&format!("bad-{number}"))
        ));
    }
    replace(&host, "chameleon", "2");
    host.wait_for_answer("colour", "2");
    assert_eq!(Lines::connect(&host).ask("echo fine"), "fine");
}
