//! `host completion` and `host man`.

use std::{fs, process::Command};

use dropin_tests::{built, tool};
use tempfile::tempdir;

use super::host_in;

/// Some flags of different groups, a subcommand, and a flag of its own.
const WORDS: [&str; 5] = ["--port", "--metrics", "--allow-insecure-plugins", "config", "--expires"];

#[test]
fn every_shell_gets_its_completion() {
    let folder = tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = host_in(folder.path(), &["completion", shell], &[]);
        assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
        for word in WORDS {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(said.stdout.contains(word), "{shell} knows {word}");
        }
        assert!(!said.stdout.contains("throwaway"), "what is hidden is not completed");
    }
    assert_eq!(host_in(folder.path(), &["completion", "command.com"], &[]).status, Some(2));
}

#[test]
#[cfg_attr(not(tool = "bash"), ignore = "needs bash")]
fn bash_completion_works_under_any_program_name() {
    let folder = tempdir().unwrap();
    let renamed = folder.path().join("dropin-host");
    built::install_program("host", &renamed);
    let complete = |words: &str| {
        let script = format!(
            "source <('{}' completion bash)\nCOMP_WORDS=({words})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             $(complete -p dropin-host | grep -o -- '-F [^ ]*' | cut -c4-) dropin-host \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD-1]}}\"\necho \"${{COMPREPLY[@]}}\"",
            renamed.display()
        );
        let said = tool::run(Command::new("bash").args(["--norc", "-c", &script]), b"");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, errors) = (text(said.stdout), text(said.stderr));
        assert!(errors.is_empty(), "{errors}");
        out.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("dropin-host --met"), ["--metrics"]);
    assert_eq!(complete("dropin-host --trust l"), ["loopback", "lan"]);
    assert_eq!(complete("dropin-host --log-format ''"), ["text", "json"]);
    assert_eq!(complete("dropin-host fing"), ["fingerprint"]);
    assert_eq!(complete("dropin-host key add --exp"), ["--expires"]);
}

#[test]
fn the_manual_page_has_every_flag() {
    let folder = tempdir().unwrap();
    let page = host_in(folder.path(), &["man"], &[]);
    assert_eq!((page.status, page.stderr.as_str()), (Some(0), ""));
    assert!(page.stdout.contains(".TH host 1"), "{}", page.stdout);
    let settings = host_in(folder.path(), &["config"], &[]).stdout;
    for line in settings.lines() {
        let name = line.trim_start_matches("# ").split(' ').next().unwrap();
        let flag = format!("\\-\\-{}", name.replace('-', "\\-"));
        assert!(page.stdout.contains(&flag), "{flag}");
    }
    assert!(!page.stdout.contains("throwaway"), "what is hidden is not described");
    assert_eq!(host_in(folder.path(), &["man", "--to", "pages"], &[]).status, Some(0));
    for name in ["host", "host-check", "host-config", "host-key", "host-key-add"] {
        let path = folder.path().join("pages").join(format!("{name}.1"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!(".TH {name} 1")), "{text}");
    }
    let blocked = host_in(folder.path(), &["man", "--to", "/dev/null/x"], &[]);
    assert_eq!(blocked.status, Some(1));
    assert!(blocked.stderr.contains("cannot write /dev/null/x"), "{blocked:?}");
}

#[test]
#[cfg_attr(not(tool = "man"), ignore = "needs man")]
fn the_manual_pages_can_be_read() {
    let folder = tempdir().unwrap();
    assert_eq!(host_in(folder.path(), &["man", "--to", "pages"], &[]).status, Some(0));
    for name in ["host", "host-check", "host-config", "host-key", "host-key-add"] {
        let path = folder.path().join("pages").join(format!("{name}.1"));
        let mut man = Command::new("man");
        let read =
            tool::run(man.args(["--warnings", "-l"]).arg(&path).env("LC_ALL", "C.UTF-8"), b"");
        let errors = String::from_utf8(read.stderr).unwrap();
        assert!(read.status.success() && errors.is_empty(), "{name}: {errors}");
        assert!(String::from_utf8(read.stdout).unwrap().contains("SYNOPSIS"));
    }
}
