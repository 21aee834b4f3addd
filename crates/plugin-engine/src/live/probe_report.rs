//! Transfers a probe's result from the child to the host.
//!
//! The library's code has run in the child and can have written anything into the report. So
//! the host never blocks while it reads a report, reads a limited length, and checks the content
//! again.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::manifest::Manifest;
use crate::load_error::Refusal;

/// The longest report, in bytes: enough for thousands of commands.
pub const MOST: usize = 1 << 20;

/// Writes a report, which [`read`] does not find before it is published.
///
/// # Errors
/// The file cannot be written.
pub fn draft(file: &Path, judged: &Result<Manifest, Refusal>) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(judged)?;
    if bytes.len() > MOST {
        let problem = format!("its manifest takes more than {MOST} bytes");
        bytes = serde_json::to_vec(&Err::<Manifest, _>(Refusal::Manifest { problem }))?;
    }
    fs::write(draft_of(file), bytes)
}

/// Publishes the report that has been written, as a whole or not at all.
///
/// # Errors
/// There is no draft, or it cannot be renamed.
pub fn publish(file: &Path) -> io::Result<()> {
    platform::retry_while_in_use(|| fs::rename(draft_of(file), file))
}

/// Returns true if there is a report that has not been published.
#[must_use]
pub fn is_drafted(file: &Path) -> bool {
    fs::symlink_metadata(draft_of(file)).is_ok()
}

fn draft_of(file: &Path) -> PathBuf {
    file.with_extension("draft")
}

/// Reads the report that a child has left; `None` if there is none.
#[must_use]
pub fn read(file: &Path) -> Option<Result<Manifest, Refusal>> {
    let failed = |error: io::Error| bad(&error.to_string());
    let file = match platform::open_plain(file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Err(failed(error))),
    };
    let mut bytes = Vec::new();
    // One byte more shows that the file is too long.
    match file.take(MOST as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) => Some(parse(&bytes)),
        Err(error) => Some(Err(failed(error))),
    }
}

/// Parses a report: a manifest that meets the rules, or a refusal that a child may give.
///
/// # Errors
/// The refusal in the report, the first broken rule, or that the report is invalid.
pub fn parse(bytes: &[u8]) -> Result<Manifest, Refusal> {
    if bytes.len() > MOST {
        return Err(bad("it is too long"));
    }
    match serde_json::from_slice::<Result<Manifest, Refusal>>(bytes) {
        Ok(Ok(manifest)) => manifest.check().map(|()| manifest),
        Ok(Err(refusal)) if refusal.is_of_the_library() => Err(refusal),
        Ok(Err(_)) => Err(bad("only the host may give that reason")),
        Err(error) => Err(bad(&error.to_string())),
    }
}

fn bad(problem: &str) -> Refusal {
    Refusal::BadProbeReport { problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::manifest::CommandFacts;

    fn manifest() -> Manifest {
        let command = CommandFacts {
            name: "echo".into(),
            usage: "TEXT..".into(),
            help: "It.".into(),
            writes: true,
            idempotent: true,
        };
        Manifest {
            name: "text".into(),
            version: "1.0.0".into(),
            api_version: "1.1.0".into(),
            commands: vec![command],
            untracked_threads: false,
        }
    }

    fn crossed(judged: &Result<Manifest, Refusal>) -> Result<Manifest, Refusal> {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("report.json");
        draft(&file, judged).unwrap();
        assert!(is_drafted(&file) && read(&file).is_none(), "it is not published");
        publish(&file).unwrap();
        assert!(!is_drafted(&file));
        read(&file).unwrap()
    }

    #[test]
    fn a_true_report_arrives_as_it_is() {
        assert_eq!(crossed(&Ok(manifest())), Ok(manifest()));
        let refusal = Refusal::Create { error: "the moon is not full".into() };
        assert_eq!(crossed(&Err(refusal.clone())), Err(refusal));
        assert_eq!(read(Path::new("/nowhere/report.json")), None);
    }

    #[test]
    fn a_forged_manifest_is_checked_again() {
        let forged = |change: fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            crossed(&Ok(manifest)).unwrap_err().to_string()
        };
        for (refusal, said) in [
            (forged(|it| it.name = "../../elsewhere".into()), "its name '../../elsewhere'"),
            (forged(|it| it.version = "1\n2".into()), "its version '1\\n2'"),
            (forged(|it| it.commands[0].name = "Loud!".into()), "its command 'Loud!'"),
            (forged(|it| it.commands[0].usage = "[A] B".into()), "its command 'echo': the usage"),
            (forged(|it| it.commands[0].help = "\x1b[2J".into()), "its command 'echo': its help"),
            (forged(|it| it.commands.push(it.commands[0].clone())), "'echo' twice"),
            (forged(|it| it.commands[0].help = "x".repeat(MOST)), "more than 1048576 bytes"),
        ] {
            assert!(refusal.contains(said), "{refusal}");
        }
    }

    #[test]
    fn report_cannot_claim_host_only_errors() {
        let host_only = [
            Refusal::Stopping,
            Refusal::Unsettled,
            Refusal::Clash { problem: "x".into() },
            Refusal::Handover { problem: "x".into() },
            Refusal::TimedOut { millis: 1 },
            Refusal::probe_failed("start", &"x"),
        ];
        for refusal in host_only {
            let found = crossed(&Err(refusal)).unwrap_err();
            assert!(matches!(found, Refusal::BadProbeReport { .. }), "{found:?}");
        }
    }

    #[test]
    fn longest_report_arrives_and_no_longer_one() {
        let refusal = |length| Err(Refusal::Create { error: "x".repeat(length) });
        let frame = serde_json::to_vec(&refusal(0) as &Result<Manifest, _>).unwrap().len();
        let longest = refusal(MOST - frame);
        assert_eq!(crossed(&longest), longest);
        let said = crossed(&refusal(MOST - frame + 1)).unwrap_err().to_string();
        assert!(said.contains("takes more than 1048576 bytes"), "{said}");
        // The library's code may have written more than the host would.
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("report.json");
        for (length, is_too_long) in [(MOST, false), (MOST + 1, true), (MOST + 2, true)] {
            fs::write(&file, vec![b' '; length]).unwrap();
            let said = read(&file).unwrap().unwrap_err().to_string();
            assert_eq!(said.contains("it is too long"), is_too_long, "{length}: {said}");
        }
    }

    #[test]
    fn malformed_report_is_reported() {
        for bytes in [&b""[..], b"{", b"{\"Ok\":1}", b"\xff", &vec![b' '; MOST + 1]] {
            let found = parse(bytes).unwrap_err();
            assert!(matches!(found, Refusal::BadProbeReport { .. }), "{found:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn report_that_is_a_pipe_does_not_block() {
        let temp = tempfile::tempdir().unwrap();
        let link = temp.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        let pipe = temp.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        let pipe = made.is_ok_and(|status| status.success()).then_some(pipe);
        for file in [Some(link), pipe, Some(temp.path().to_owned())].into_iter().flatten() {
            let found = read(&file).unwrap().unwrap_err();
            assert!(matches!(found, Refusal::BadProbeReport { .. }), "{found:?}");
        }
    }
}
