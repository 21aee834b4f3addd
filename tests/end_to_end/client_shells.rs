//! The client's completions and manual page, read by shells and by `man`.

use std::process::{Command, Output};

use dropin_tests::tool;

use crate::client_program::client;

/// Returns the client's output, for a user with two places.
fn printed(arguments: &[&str]) -> Vec<u8> {
    let home = tempfile::tempdir().unwrap();
    for name in ["home", "a.b-c_d"] {
        let mut add = client(&[], &["add", "--quiet", name, "--same"]);
        let output =
            tool::run(add.env("XDG_CONFIG_HOME", home.path()).env("APPDATA", home.path()), b"");
        assert!(output.status.success(), "{output:?}");
    }
    let output = tool::run(
        client(&[], arguments).env("XDG_CONFIG_HOME", home.path()).env("APPDATA", home.path()),
        b"",
    );
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

#[track_caller]
fn is_silent(output: &Output) {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// Writes a file into a folder of its own, for a tool that needs one.
fn temporary_file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

/// Requests the completion of a line as bash does when Tab is pressed behind its last word.
const ASK_BASH: &str = r#"
complete -p client
tab() {
    local function_name
    function_name=$(complete -p client | sed 's/.* -F \([^ ]*\) .*/\1/')
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    "$function_name" client "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "$*: ${COMPREPLY[*]}"
}
tab client compl
tab client hom
tab client home --lat
tab client s --key
tab client remove ho
tab client remove a.
tab client completion fi
tab client add x --la
tab client places --j
"#;

#[test]
#[cfg_attr(not(tool = "bash"), ignore = "needs bash")]
fn bash_completes_options_tasks_and_places() {
    let script = [printed(&["completion", "bash"]), ASK_BASH.into()].concat();
    let output = tool::run(Command::new("bash").args(["--norc", "-s"]), &script);
    is_silent(&output);
    let said = String::from_utf8(output.stdout).unwrap();
    let (defined, answers) = said.split_once('\n').unwrap();
    assert!(defined.starts_with("complete ") && defined.ends_with(" client"), "{said}");
    let expected = "client compl: completion\nclient hom: home\nclient home --lat: --latency\n\
        client s --key: --key --key-file\nclient remove ho: home\nclient remove a.: a.b-c_d\n\
        client completion fi: fish\nclient add x --la: --lan\nclient places --j: --json\n";
    assert_eq!(answers, expected);
}

#[cfg(unix)]
#[test]
#[cfg_attr(not(tool = "bash"), ignore = "needs bash")]
fn bash_completes_a_client_of_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("my-client");
    std::os::unix::fs::symlink(client(&[], &[]).get_program(), &program).unwrap();
    let script = tool::run(Command::new(&program).args(["completion", "bash"]), b"").stdout;
    let ask = ASK_BASH.replace("client", "my-client");
    let output =
        tool::run(Command::new("bash").args(["--norc", "-s"]), &[script, ask.into()].concat());
    is_silent(&output);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("my-client s --key: --key --key-file\n"), "{said}");
    assert!(said.contains("my-client add x --la: --lan\n"), "{said}");
}

#[test]
#[cfg_attr(not(tool = "zsh"), ignore = "needs zsh")]
fn zsh_takes_its_script() {
    let script = temporary_file(&printed(&["completion", "zsh"]));
    is_silent(&tool::run(Command::new("zsh").arg("-n").arg(script.path()), b""));
    let line = "autoload -Uz compinit; compinit -u -D; source \"$1\"; print -- $_comps[client]";
    let output =
        tool::run(Command::new("zsh").args(["-f", "-c", line, "zsh"]).arg(script.path()), b"");
    is_silent(&output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "_client\n");
}

#[test]
#[cfg_attr(not(tool = "fish"), ignore = "needs fish")]
fn fish_completes_places() {
    let script = temporary_file(&printed(&["completion", "fish"]));
    let line = "source $argv[1]; complete -C 'client ho'; complete -C 'client s --laten'";
    let home = tempfile::tempdir().unwrap();
    let mut fish = Command::new("fish");
    fish.args(["--no-config", "-c", line]).arg(script.path()).env("HOME", home.path());
    let output = tool::run(fish.current_dir(home.path()), b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("home\tTalk to the host"), "{output:?}");
    assert!(said.contains("--latency\t"), "{output:?}");
}

#[test]
#[cfg_attr(not(tool = "groff"), ignore = "needs groff")]
fn the_manual_page_is_set_without_complaint() {
    let page = printed(&["man"]);
    // Without the overstriking that makes some letters bold.
    let plain = ["-man", "-Tascii", "-ww", "-P-c", "-P-b", "-P-o", "-P-u"];
    let output = tool::run(Command::new("groff").args(plain), &page);
    is_silent(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in
        ["client(1)", "NAME", "client add NAME", "--connect-timeout <SECONDS>", "-x", "EXIT STATUS"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    // An example is one line at any page width.
    assert!(text.contains("client s -r 10 -i 0.5 incr ticks       ten times"), "{text}");
}
