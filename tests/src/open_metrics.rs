//! A strict parser for metrics pages: anything that the format does not allow fails the test.
//!
//! The format: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    host::Host,
    wait::{LIMIT, wait_for},
};

/// After this time the host closes the connection of a request that it has not answered.
const TIMEOUT: Duration = Duration::from_secs(1);

type Labels = BTreeMap<String, String>;

/// A page's samples, by name and labels.
#[derive(Debug)]
pub struct Page {
    samples: BTreeMap<(String, Labels), f64>,
}

struct Family {
    name: String,
    kind: String,
    /// The buckets of each histogram in the page's order: bound and count.
    buckets: BTreeMap<Labels, Vec<(f64, f64)>>,
}

/// Returns the address of a host's metrics, from its output.
///
/// # Panics
/// The host serves none.
#[must_use]
#[track_caller]
pub fn address(host: &Host) -> SocketAddr {
    let said = host.stdout();
    let line = said.lines().find_map(|line| line.strip_prefix("metrics http://"));
    let address = line.and_then(|line| line.strip_suffix("/metrics"));
    address.expect("it says where").parse().expect("an address")
}

/// Returns the response to an HTTP request at the metrics' address: status line and headers, and
/// the body. Tries again if the machine stood still for so long that the host gave the request up.
///
/// # Panics
/// The host serves no metrics, or does not respond.
#[must_use]
#[track_caller]
pub fn fetch(host: &Host, request: &str) -> (String, String) {
    let address = address(host);
    wait_for("the metrics are served", LIMIT, || {
        let started = Instant::now();
        let answer = answer(address, request);
        let parts = answer.as_ref().ok().and_then(|text| text.split_once("\r\n\r\n"));
        let found = parts.map(|(head, body)| (head.to_owned(), body.to_owned()));
        assert!(found.is_some() || started.elapsed() >= TIMEOUT, "no response: {answer:?}");
        found
    })
}

fn answer(address: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

impl Page {
    /// Fetches the host's page.
    ///
    /// # Panics
    /// The host serves none.
    #[must_use]
    #[track_caller]
    pub fn of(host: &Host) -> Self {
        Self::read(&fetch(host, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").1)
    }

    /// Parses a page.
    ///
    /// # Panics
    /// The page violates the format.
    #[must_use]
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("a page ends with # EOF");
        let (mut samples, mut seen) = (BTreeMap::new(), BTreeSet::new());
        let mut family: Option<Family> = None;
        for line in body.lines() {
            let Some(comment) = line.strip_prefix("# ") else {
                let family = family.as_mut().unwrap_or_else(|| panic!("no family: {line}"));
                let (name, labels, value) = sample(line);
                family.admit(&name, &labels, value, line);
                assert!(samples.insert((name, labels), value).is_none(), "twice: {line}");
                continue;
            };
            let mut words = comment.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().expect(line));
            let rest = words.next().expect(line);
            match what {
                "HELP" => {
                    assert!(seen.insert(name.to_owned()), "a family twice: {line}");
                    assert!(is_name(name), "{line}");
                    if let Some(before) = family.replace(Family::new(name)) {
                        before.close(&samples);
                    }
                }
                "TYPE" => {
                    let family = family.as_mut().filter(|family| family.name == name).expect(line);
                    assert!(["counter", "gauge", "histogram", "info"].contains(&rest), "{line}");
                    assert!(family.kind.is_empty(), "a type twice: {line}");
                    rest.clone_into(&mut family.kind);
                }
                "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                _ => panic!("no such comment: {line}"),
            }
        }
        if let Some(last) = family {
            last.close(&samples);
        }
        Self { samples }
    }

    /// Returns the sample of this name with exactly these labels.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.samples.get(&(name.to_owned(), labels.collect())).copied()
    }

    /// Returns the sum of all samples of this name.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.samples.iter().filter(|((one, _), _)| one == name).map(|(_, value)| value).sum()
    }

    /// Returns the number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Returns whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

impl Family {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), kind: String::new(), buckets: BTreeMap::new() }
    }

    fn admit(&mut self, name: &str, labels: &Labels, value: f64, line: &str) {
        let suffix = name.strip_prefix(&self.name).unwrap_or_else(|| panic!("a stray: {line}"));
        let allowed: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => panic!("no type before {line}"),
        };
        assert!(allowed.contains(&suffix), "{line}");
        assert!(value >= 0.0 && value.is_finite(), "{line}");
        assert!(self.kind != "info" || value == 1.0, "{line}");
        if suffix == "_bucket" {
            let mut labels = labels.clone();
            let bound = labels.remove("le").unwrap_or_else(|| panic!("no le: {line}"));
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect(line) };
            self.buckets.entry(labels).or_default().push((bound, value));
        } else {
            assert!(!labels.contains_key("le"), "{line}");
        }
    }

    fn close(self, samples: &BTreeMap<(String, Labels), f64>) {
        let Self { name, kind, buckets } = self;
        for (labels, buckets) in buckets {
            let rises = |a: &(f64, f64), b: &(f64, f64)| a.0 < b.0 && a.1 <= b.1;
            assert!(buckets.is_sorted_by(rises), "{name} {labels:?}: {buckets:?}");
            let (bound, all) = buckets.last().expect("there is one");
            let count = samples.get(&(format!("{name}_count"), labels.clone()));
            assert_eq!((*bound, Some(all)), (f64::INFINITY, count), "{name} {labels:?}");
            assert!(samples.contains_key(&(format!("{name}_sum"), labels)), "{name} has no sum");
        }
        assert!(!kind.is_empty(), "{name} has no type");
    }
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, all_labels(rest.strip_suffix('}').expect(line), line)),
        None => (series, Labels::new()),
    };
    assert!(is_name(name), "{line}");
    (name.to_owned(), labels, value.parse().expect(line))
}

fn all_labels(mut text: &str, line: &str) -> Labels {
    let mut labels = Labels::new();
    while !text.is_empty() {
        let (key, rest) = text.split_once("=\"").expect(line);
        assert!(is_name(key) && !key.contains(':'), "{line}");
        let (mut value, mut rest) = (String::new(), rest.chars());
        loop {
            match rest.next().expect(line) {
                '"' => break,
                '\\' => value.push(match rest.next().expect(line) {
                    'n' => '\n',
                    same @ ('\\' | '"') => same,
                    other => panic!("\\{other} in {line}"),
                }),
                one => value.push(one),
            }
        }
        assert!(labels.insert(key.to_owned(), value).is_none(), "a label twice: {line}");
        text = rest.as_str();
        assert!(text.is_empty() || text.starts_with(','), "{line}");
        text = text.strip_prefix(',').unwrap_or(text);
    }
    labels
}

fn is_name(text: &str) -> bool {
    let word = |one: char| one.is_ascii_alphanumeric() || one == '_' || one == ':';
    text.chars().all(word) && text.starts_with(|one: char| !one.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_open_metrics_text_is_rejected() {
        let head = "# HELP a text\n# TYPE a counter\n";
        let page = Page::read(&format!("{head}a_total{{b=\"c\\\"\",d=\"\"}} 1\n# EOF\n"));
        assert_eq!(page.get("a_total", &[("b", "c\""), ("d", "")]), Some(1.0));
        for bad in [
            format!("{head}a_total 1\n"),
            format!("{head}a 1\n# EOF\n"),
            format!("{head}a_total 1\na_total 1\n# EOF\n"),
            format!("{head}a_total -1\n# EOF\n"),
            format!("{head}a_total x\n# EOF\n"),
            format!("{head}a_total{{b=c}} 1\n# EOF\n"),
            format!("{head}{head}# EOF\n"),
            "a_total 1\n# EOF\n".into(),
            "# HELP h text\n# TYPE h histogram\nh_count 2\nh_sum 1\nh_bucket{le=\"+Inf\"} 1\n# EOF\n"
                .into(),
            "# HELP h text\n# TYPE h histogram\nh_count 1\nh_sum 1\nh_bucket{le=\"1\"} 1\n# EOF\n"
                .into(),
        ] {
            assert!(std::panic::catch_unwind(|| Page::read(&bad)).is_err(), "{bad}");
        }
    }
}
