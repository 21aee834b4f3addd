//! Questions at the terminal before there is a connection.

use std::io::{self, BufRead, Write};

use crate::{
    error::Error,
    places::{address::parse_host, connection_type::ConnectionType},
    program,
};

/// Asks for a connection type or one of these places, until the answer is one of them.
pub fn ask_place(
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    places: &[&str],
) -> Result<String, Error> {
    let question = match places {
        [] => "Connection type, s (same machine), l (same LAN) or i (internet): ".to_owned(),
        names => format!(
            "Connection type, s (same machine), l (same LAN) or i (internet), or a place ({}): ",
            names.join(", ")
        ),
    };
    loop {
        let answer = ask(input, output, &question)?;
        let letter =
            ConnectionType::from_word(&answer.to_ascii_lowercase()).map(ConnectionType::letter);
        match letter.or(places.iter().copied().find(|name| *name == answer)) {
            Some(word) => return Ok(word.to_owned()),
            None if places.is_empty() => write_line(output, "Please answer s, l or i."),
            None => write_line(output, "Please answer s, l, i or the name of a place."),
        }
    }
}

/// Asks for the address of the host, until the answer is one.
pub fn ask_address(input: &mut dyn BufRead, output: &mut dyn Write) -> Result<String, Error> {
    loop {
        let answer = ask(input, output, "Address of the host (name or IP address): ")?;
        match parse_host(&answer) {
            Ok(host) => return Ok(host),
            Err(error) => write_line(output, &error.to_string()),
        }
    }
}

/// Asks a person to confirm the fingerprint of a new host, until the answer is yes or no.
pub fn confirm_fingerprint(
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    name: &str,
    fingerprint: &str,
) -> Result<bool, Error> {
    write_line(output, &format!("First contact with {name}; its fingerprint is\n{fingerprint}"));
    loop {
        let question = program::spelled("Is that what `host fingerprint` says there? (yes/no) ");
        match ask(input, output, &question)?.to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => write_line(output, "Please answer yes or no."),
        }
    }
}

fn ask(input: &mut dyn BufRead, output: &mut dyn Write, question: &str) -> Result<String, Error> {
    let _ = output.write_all(question.as_bytes()).and_then(|()| output.flush());
    let mut answer = String::new();
    match input.read_line(&mut answer) {
        Ok(0) => {
            write_line(output, "");
            Err(Error::Usage(program::spelled("the question has no answer; see `client --help`")))
        }
        Ok(_) => Ok(answer.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(String::new()),
        Err(source) => Err(Error::Io { operation: "read the answer", source }),
    }
}

fn write_line(output: &mut dyn Write, text: &str) {
    let _ = writeln!(output, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_answer_is_asked_again() {
        let asked = |answers: &str, places: &[&str]| {
            ask_place(&mut answers.as_bytes(), &mut io::sink(), places).unwrap()
        };
        assert_eq!(asked("x\n\nlan please\n L \n", &[]), "l");
        assert_eq!(asked("internet\n", &["home"]), "i");
        assert_eq!(asked("office\nhome\n", &["home"]), "home");
        assert_eq!(
            ask_address(&mut &b"\na b\nhost:1\n[::1]\n"[..], &mut io::sink()).unwrap(),
            "::1"
        );
    }

    #[test]
    fn only_yes_confirms_a_fingerprint() {
        let asked = |answers: &str| {
            confirm_fingerprint(&mut answers.as_bytes(), &mut io::sink(), "x", "SHA256:00")
        };
        assert!(asked("\nsure\nYes\n").unwrap());
        assert!(!asked("no\nyes\n").unwrap());
        assert!(asked("").is_err());
    }

    #[test]
    fn missing_answer_is_an_error() {
        assert!(ask_place(&mut &b"x\n"[..], &mut io::sink(), &[]).is_err());
        assert!(ask_address(&mut &b""[..], &mut io::sink()).is_err());
    }
}
