//! HashiCorp's go-plugin: a program in Go, host and plugin in one, measures itself.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    error::{BenchError, failed},
    isolation::{BYTES, Figures, LIMIT, subject::Subject},
    program::Running,
    server::Places,
};

/// Measures calls by so many goroutines.
pub fn measure(
    places: &Places,
    subject: Subject,
    callers: u32,
    duration: Duration,
) -> Result<Figures, BenchError> {
    let protocol = if subject == Subject::GoGrpc { "grpc" } else { "netrpc" };
    let mut said: File = tempfile::tempfile().map_err(failed("make a file for", "go-plugin"))?;
    let out = said.try_clone().map_err(failed("share", "the output of go-plugin"))?;
    let mut command = Command::new(program(places));
    command.args([protocol, &callers.to_string()]);
    command.args([duration.as_secs_f64().to_string(), BYTES.to_string()]);
    // Its multiplexer complains at the end of the connection.
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
    let status = Running::start(&mut command)?.wait(LIMIT, &mut || {})?;
    let mut text = String::new();
    said.rewind()
        .and_then(|()| said.read_to_string(&mut text))
        .map_err(failed("read", "the output of go-plugin"))?;
    if !status.success() {
        return Err(BenchError::Program(format!("go-plugin-echo: {status}: {text}")));
    }
    serde_json::from_str(&text).map_err(|error| {
        BenchError::Caused(
            format!("cannot parse '{text}' of go-plugin-echo: {error}"),
            error.into(),
        )
    })
}

/// Fails if the program was not built.
pub fn check_built(places: &Places) -> Result<(), BenchError> {
    if program(places).is_file() {
        return Ok(());
    }
    Err(BenchError::Program("go or its library go-plugin is missing".into()))
}

fn program(places: &Places) -> PathBuf {
    places.built.join("go-plugin-echo")
}
