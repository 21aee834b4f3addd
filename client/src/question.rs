//! What is asked at a terminal before there is a connection.

use crate::args::Place;
use crate::config::parse_host;
use crate::error::Error;
use clap::ValueEnum as _;
use std::io::{self, BufRead, Write};

/// Asks for the connection type until the answer is one.
pub fn place(input: &mut dyn BufRead, output: &mut dyn Write) -> Result<Place, Error> {
    loop {
        let answer = ask(
            input,
            output,
            "Connection type, s (same machine), l (same LAN) or i (internet): ",
        )?;
        match Place::from_str(&answer, true) {
            Ok(place) => return Ok(place),
            Err(_) => tell(output, "Please answer s, l or i."),
        }
    }
}

/// Asks for the address of the host until the answer can be one.
pub fn address(input: &mut dyn BufRead, output: &mut dyn Write) -> Result<String, Error> {
    loop {
        let answer = ask(input, output, "Address of the host (name or IP address): ")?;
        match parse_host(&answer) {
            Ok(host) => return Ok(host),
            Err(error) => tell(output, &error.to_string()),
        }
    }
}

fn ask(input: &mut dyn BufRead, output: &mut dyn Write, question: &str) -> Result<String, Error> {
    let _ = output.write_all(question.as_bytes()).and_then(|()| output.flush());
    let mut answer = String::new();
    match input.read_line(&mut answer) {
        Ok(0) => {
            tell(output, "");
            Err(Error::Usage("the question has no answer; see `client --help`".to_owned()))
        }
        Ok(_) => Ok(answer.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(String::new()),
        Err(source) => Err(Error::Local { doing: "read the answer", source }),
    }
}

fn tell(output: &mut dyn Write, text: &str) {
    let _ = writeln!(output, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_asked_again() {
        assert_eq!(
            place(&mut &b"x\n\nlan please\n L \n"[..], &mut io::sink()).unwrap(),
            Place::Lan
        );
        assert_eq!(place(&mut &b"internet\n"[..], &mut io::sink()).unwrap(), Place::Internet);
        assert_eq!(address(&mut &b"\na b\nhost:1\n[::1]\n"[..], &mut io::sink()).unwrap(), "::1");
    }

    #[test]
    fn no_answer_is_an_error() {
        assert!(place(&mut &b"x\n"[..], &mut io::sink()).is_err());
        assert!(address(&mut &b""[..], &mut io::sink()).is_err());
    }
}
