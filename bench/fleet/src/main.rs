//! Requests over NATS as programs make them without a host: the figures beside which calls of other
//! hosts' commands are measured.
//!
//! `bare-nats respond URL SUBJECT` answers each request with its payload. `bare-nats request URL
//! SUBJECT TASKS REQUESTS` sends requests from this number of tasks, and prints a line of JSON: the
//! median and the 99th percentile in microseconds, and the requests a second.

use std::{env, process::ExitCode, time::Instant};

use futures_util::{StreamExt, future::try_join_all};

/// The payload of a request, in bytes.
const PAYLOAD: usize = 64;

/// An error of NATS.
type Error = async_nats::Error;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match words[..] {
        ["respond", url, subject] => respond(url, subject.to_owned()).await,
        ["request", url, subject, tasks, requests] => match (tasks.parse(), requests.parse()) {
            (Ok(tasks), Ok(requests)) => request(url, subject, tasks, requests).await,
            _ => Err("TASKS and REQUESTS are numbers".into()),
        },
        _ => {
            Err("usage: bare-nats respond URL SUBJECT | request URL SUBJECT TASKS REQUESTS".into())
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare-nats: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn respond(url: &str, subject: String) -> Result<(), Error> {
    let client = async_nats::connect(url).await?;
    let mut requests = client.queue_subscribe(subject, "bare".to_owned()).await?;
    client.flush().await?;
    println!("ready");
    while let Some(request) = requests.next().await {
        if let Some(reply) = request.reply {
            client.publish(reply, request.payload).await?;
        }
    }
    Ok(())
}

async fn request(url: &str, subject: &str, tasks: usize, requests: usize) -> Result<(), Error> {
    let client = async_nats::connect(url).await?;
    let each = requests / tasks.max(1);
    let began = Instant::now();
    let tasks = (0..tasks).map(|_| {
        let (client, subject) = (client.clone(), subject.to_owned());
        tokio::spawn(async move {
            let mut times = Vec::with_capacity(each);
            for _ in 0..each {
                let sent = Instant::now();
                client.request(subject.clone(), vec![b'x'; PAYLOAD].into()).await?;
                times.push(sent.elapsed());
            }
            Ok::<_, async_nats::RequestError>(times)
        })
    });
    let mut times = Vec::new();
    for task in try_join_all(tasks).await? {
        times.extend(task?);
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: f64| {
        let place = (times.len() as f64 * part) as usize;
        times.get(place.min(times.len().saturating_sub(1))).map(|time| time.as_secs_f64() * 1e6)
    };
    println!("{}", serde_json::json!({ "p50": at(0.5), "p99": at(0.99), "rate": rate }));
    Ok(())
}
