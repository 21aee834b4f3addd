//! The load generator: `redis-benchmark`.

use std::{
    fs::File,
    io::{Read, Write},
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tempfile::tempfile;

use crate::{
    error::{BenchError, failed},
    program::Running,
};

/// From this payload size on, the short form of the report is used, which does not repeat the
/// payload.
const LONG: usize = 4 << 10;

/// A load: the command, the number of requests and the clients.
#[derive(Clone, Debug)]
pub struct Load {
    /// The server's address.
    pub address: SocketAddr,
    /// The command and its arguments, without the payload.
    pub command: Vec<String>,
    /// Size of an additional argument, in bytes.
    pub payload: Option<usize>,
    /// Number of concurrent clients.
    pub clients: u32,
    /// Number of requests that each client sends before it waits for the replies.
    pub pipeline: u32,
    /// Total number of requests.
    pub requests: u64,
    /// The processor of the generator.
    pub core: Option<usize>,
    /// Number of values of `__rand_int__` in the command.
    pub keys: Option<u64>,
}

/// The result of a load. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadResult {
    /// Requests per second.
    pub rate: f64,
    /// The median latency.
    pub p50: f64,
    /// The 99th percentile of the latency.
    pub p99: f64,
    /// The 99.9th percentile of the latency; the short form does not have it.
    pub p999: Option<f64>,
}

impl Load {
    /// Returns the command line.
    pub fn arguments(&self) -> Vec<String> {
        let mut line: Vec<String> = Vec::new();
        if let Some(core) = self.core {
            line.extend(["taskset".into(), "-c".into(), core.to_string()]);
        }
        line.push("redis-benchmark".into());
        for (flag, value) in [
            ("-h", self.address.ip().to_string()),
            ("-p", self.address.port().to_string()),
            ("-c", self.clients.to_string()),
            ("-n", self.requests.to_string()),
            ("-P", self.pipeline.to_string()),
        ] {
            line.extend([flag.into(), value]);
        }
        line.extend(self.keys.iter().flat_map(|keys| ["-r".to_owned(), keys.to_string()]));
        if self.is_long() {
            line.push("--csv".into());
        } else {
            line.extend(["--precision".into(), "3".into()]);
        }
        line.extend(self.payload.map(|_| "-x".into()));
        line.extend(self.command.iter().cloned());
        line
    }

    /// Starts it; its output goes into `said`.
    pub fn start(&self, said: &File) -> Result<Running, BenchError> {
        let line = self.arguments();
        let (program, arguments) =
            line.split_first().ok_or_else(|| BenchError::Program("no generator".into()))?;
        let said = said.try_clone().map_err(failed("share", "the generator's output"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdout(said).stderr(Stdio::null());
        command.stdin(if self.payload.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut running = Running::start(&mut command)?;
        if let (Some(bytes), Some(mut input)) = (self.payload, running.child().stdin.take()) {
            input.write_all(&vec![b'x'; bytes]).map_err(failed("write to", "redis-benchmark"))?;
        }
        Ok(running)
    }

    /// Runs it to its end, and calls `look` repeatedly meanwhile.
    pub fn run(&self, limit: Duration, look: &mut dyn FnMut()) -> Result<LoadResult, BenchError> {
        let said = tempfile().map_err(failed("make a file for", "the generator's output"))?;
        let mut running = self.start(&said)?;
        let status = running.wait(limit, look)?;
        let text = read(said)?;
        let served = if self.is_long() { parse_short_form(&text) } else { parse_long_form(&text) };
        served.filter(|_| status.success()).ok_or_else(|| {
            let shown: String = text.chars().take(400).collect();
            BenchError::Program(format!("{}: {status}: {shown}", self.arguments().join(" ")))
        })
    }

    fn is_long(&self) -> bool {
        self.payload.is_some_and(|bytes| bytes > LONG)
    }
}

fn read(mut said: File) -> Result<String, BenchError> {
    use std::io::Seek as _;
    let mut text = Vec::new();
    said.rewind()
        .and_then(|()| said.read_to_end(&mut text))
        .map_err(failed("read", "the generator's output"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Parses the long form of the report.
fn parse_long_form(text: &str) -> Option<LoadResult> {
    let mut lines = text.lines().map(str::trim);
    let rate = number(lines.clone().find_map(|line| line.strip_prefix("throughput summary: "))?)?;
    let p999 = lines.clone().find_map(|line| {
        let (percent, rest) = line.split_once("% <= ")?;
        let beyond = percent.parse::<f64>().ok()? >= 99.9;
        (beyond && rest.contains("milliseconds")).then(|| number(rest)).flatten()
    });
    lines.find(|line| line.starts_with("latency summary"))?;
    let figures: Vec<f64> = lines.nth(1)?.split_whitespace().filter_map(number).collect();
    let [_, _, p50, _, p99, _] = figures[..] else { return None };
    Some(LoadResult { rate, p50, p99, p999 })
}

/// Parses the short form: the name in quotes, which may contain anything, and then the figures.
fn parse_short_form(text: &str) -> Option<LoadResult> {
    let line = text.lines().rfind(|line| line.starts_with('"'))?;
    let figures: Vec<f64> = line
        .rsplit(',')
        .take(7)
        .filter_map(|figure| figure.trim_matches('"').parse().ok())
        .collect();
    let [_, p99, _, p50, _, _, rate] = figures[..] else { return None };
    Some(LoadResult { rate, p50, p99, p999: None })
}

fn number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG_FORM: &str = "
====== nop ======
  100000 requests completed in 1.76 seconds
Latency by percentile distribution:
0.000% <= 0.111 milliseconds (cumulative count 2)
99.805% <= 2.487 milliseconds (cumulative count 99805)
99.902% <= 4.799 milliseconds (cumulative count 99904)
100.000% <= 8.775 milliseconds (cumulative count 100000)

Cumulative distribution of latencies:
0.000% <= 0.103 milliseconds (cumulative count 0)
100.000% <= 9.103 milliseconds (cumulative count 100000)

Summary:
  throughput summary: 56947.61 requests per second
  latency summary (msec):
          avg       min       p50       p95       p99       max
        0.470     0.104     0.455     0.695     0.895     8.775
";

    #[test]
    fn both_forms_are_understood() {
        let served = LoadResult { rate: 56947.61, p50: 0.455, p99: 0.895, p999: Some(4.799) };
        assert_eq!(parse_long_form(LONG_FORM), Some(served));
        let short = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
                     \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
                     \"echo x,x\",\"1086.50\",\"0.399\",\"0.232\",\"0.351\",\"0.647\",\"0.735\",\"1.127\"\n";
        let served = LoadResult { rate: 1086.5, p50: 0.351, p99: 0.735, p999: None };
        assert_eq!(parse_short_form(short), Some(served));
    }

    #[test]
    fn truncated_output_is_no_report() {
        for cut in [0, 100, 300, 600] {
            assert_eq!(parse_long_form(&LONG_FORM[..cut]), None, "{cut}");
        }
        assert_eq!(parse_short_form("\"echo\",\"1086.50\"\n"), None);
    }
}
