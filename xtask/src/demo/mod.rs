//! A plugin that is replaced several times while a client counts with it.

mod client;
mod transcript;
mod versions;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use self::{
    client::{Client, Counted},
    transcript::Transcript,
};
use crate::{cargo, error::TaskError, install, profile::Profile, soak::served::Served};

/// A version that does not serve within this time has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two looks at what the client has counted.
const PAUSE: Duration = Duration::from_millis(2);

/// Lines of the host's log that are shown where the demonstration has failed.
const LOG_LINES: usize = 12;

/// The options of the demonstration.
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    #[command(flatten)]
    pub profile: Profile,
    /// The number of times that the library is replaced.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub swaps: u32,
    /// The seconds for which the client counts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Draw the transcript into this file, too.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// A request failed, was lost or was answered twice; a version does not serve; a program cannot be
/// built or started.
pub fn run(demo: &Demo) -> Result<(), TaskError> {
    let profile = demo.profile.folder();
    cargo::build_shipped(profile)?;
    let versions = versions::build(demo.swaps + 1, profile)?;
    let built = cargo::output(profile);
    // `server` tells which generation serves.
    let mut libraries = vec![built.join(install::library("server"))];
    libraries.extend(versions.first().cloned());
    let mut host = Served::start_with(&built, &libraries, &[])?;
    let mut transcript = Transcript::begin(host.address(), versions.len());

    let client = Client::start(host.address());
    let swapped = swap(demo, &versions, &mut host, &client, &mut transcript);
    let counted = client.stop();
    let verdict = swapped.and_then(|last| {
        transcript.generation(&last, &counted);
        let total = host.integer("counter.total")?;
        let status = host.end()?;
        transcript.end(&counted, total);
        judge(&counted, total, status)
    });
    if verdict.is_err() {
        eprintln!("the last lines of the host's log:");
        host.log_tail(LOG_LINES).iter().for_each(|line| eprintln!("  {line}"));
    }
    verdict?;
    demo.svg.as_ref().map_or(Ok(()), |file| transcript.draw(file))
}

/// A generation that serves, or did.
struct Generation {
    /// Its place among the versions.
    index: usize,
    number: i64,
    /// The time until it was replaced, since the client began.
    until: Duration,
}

/// Replaces the library by each of the versions in turn, while the client counts. Returns the last
/// one that serves.
fn swap(
    demo: &Demo,
    versions: &[PathBuf],
    host: &mut Served,
    client: &Client,
    transcript: &mut Transcript,
) -> Result<Generation, TaskError> {
    let (started, turn) = (Instant::now(), Duration::from_secs(demo.seconds) / (demo.swaps + 1));
    let mut serving = Generation { index: 0, number: host.generation("counter")?, until: turn };
    for (index, library) in versions.iter().enumerate().skip(1) {
        if !client.goes_on_until(started + serving.until) {
            return Ok(serving);
        }
        host.replace(library)?;
        let waits = Instant::now();
        while client.versions() <= index {
            if !client.goes_on_until(Instant::now() + PAUSE) {
                return Ok(serving);
            }
            if waits.elapsed() > TIMEOUT {
                let what = format!("replacing the library by version {}.0.0", index + 1);
                return Err(TaskError::Failed(what));
            }
        }
        serving.until = started.elapsed();
        transcript.generation(&serving, &client.counted());
        let until = turn * (demo.swaps + 1).min(u32::try_from(index + 1).unwrap_or(u32::MAX));
        serving = Generation { index, number: host.generation("counter")?, until };
    }
    client.goes_on_until(started + serving.until);
    serving.until = started.elapsed();
    Ok(serving)
}

/// Fails where a request failed, the plugin's total is another one than the client's, or the host
/// ended badly.
fn judge(counted: &Counted, total: i64, status: i32) -> Result<(), TaskError> {
    if let Some(failure) = &counted.first_failure {
        return Err(TaskError::Refused(format!("a request failed: {failure}")));
    }
    if total != counted.requests() {
        let requests = counted.requests();
        let why = format!("the client counted {requests} replies, and the plugin {total}");
        return Err(TaskError::Refused(why));
    }
    if status != 0 {
        return Err(TaskError::Failed(format!("ending the host (status {status})")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{client::Tally, *};

    #[test]
    fn failed_and_lost_requests_fail_the_demo() {
        let counted = |failure: Option<&str>| Counted {
            tallies: vec![Tally { requests: 7, ..Tally::default() }],
            first_failure: failure.map(str::to_owned),
        };
        assert!(judge(&counted(None), 7, 0).is_ok());
        assert!(judge(&counted(Some("no reply")), 7, 0).is_err());
        assert!(judge(&counted(None), 6, 0).is_err(), "a reply was made up");
        assert!(judge(&counted(None), 8, 0).is_err(), "a reply was lost");
        assert!(judge(&counted(None), 7, 3).is_err());
    }
}
