//! The Python worker without a host: two pipes and nothing else, which is what the interpreter
//! takes.

use std::{
    io::{Read, Write as _},
    path::Path,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::{
    error::{BenchError, failed},
    isolation::{BYTES, Figures, exchange::Exchange},
    process,
    program::Running,
};

/// The longest line that is read before a measurement, in bytes.
const LONGEST: usize = 4096;

/// A running worker.
pub struct WorkerByPipes {
    running: Running,
    to: ChildStdin,
    from: ChildStdout,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl WorkerByPipes {
    /// Starts it and shakes hands.
    pub fn start(script: &Path) -> Result<Self, BenchError> {
        let mut command = Command::new(script);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(&mut command)?;
        let child = running.child();
        let (Some(mut to), Some(mut from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::Program(format!("{} has no pipes", script.display())));
        };
        let text = "x".repeat(BYTES);
        let session = r#"{"id":3,"peer":"127.0.0.1:53412","name":""}"#;
        let request =
            format!("{{\"id\":7,\"call\":\"echo\",\"args\":[\"{text}\"],\"session\":{session}}}\n");
        let hello = "{\"dropin\":1,\"features\":[\"cancel\",\"progress\",\"state\"]}\n";
        let mut reply = Vec::new();
        for line in [hello, &request] {
            to.write_all(line.as_bytes()).map_err(failed("write to", script))?;
            reply = read_line(&mut from).map_err(failed("read from", script))?;
        }
        let shown = String::from_utf8_lossy(&reply);
        if !shown.contains(&text) {
            return Err(BenchError::Program(format!("{} answers '{shown}'", script.display())));
        }
        Ok(Self { running, to, from, request: request.into_bytes(), reply })
    }

    /// Measures calls, so many at once.
    pub fn measure(&mut self, batch: u32, duration: Duration) -> Result<Figures, BenchError> {
        let Self { running, to, from, request, reply } = self;
        let mut exchange = Exchange::new(to, from, request, reply, batch as usize);
        exchange.repeat(duration / 5)?;
        let before = process::cpu(running.id())?;
        let mut times = exchange.repeat(duration)?;
        Ok(times.figures(process::cpu(running.id())? - before))
    }
}

/// Reads one line, byte by byte, so that nothing behind it is lost.
fn read_line(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < LONGEST && line.last() != Some(&b'\n') {
        from.read_exact(&mut byte)?;
        line.extend(byte);
    }
    Ok(line)
}
