//! A session with a server, for commands that the load generator does not send.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    error::{BenchError, failed},
    server::request,
};

/// Time limit of a connection or a reply; a snapshot of many keys takes seconds.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Number of commands that are sent at once.
const BATCH: usize = 1000;

/// A session with a server.
pub struct Session {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Session {
    /// Connects to a server.
    pub fn connect(address: SocketAddr) -> Result<Self, BenchError> {
        let connected = || -> io::Result<Self> {
            let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_nodelay(true)?;
            Ok(Self { replies: BufReader::new(stream.try_clone()?), stream })
        };
        connected().map_err(failed("connect to", "a server"))
    }

    /// Sends a command. Returns all texts of its reply, which must not be an error.
    pub fn ask(&mut self, command: &[&str]) -> Result<Vec<String>, BenchError> {
        self.ask_all(&[command])?.pop().ok_or_else(|| BenchError::Program("no reply".into()))
    }

    /// Sends commands at once. Returns all texts of each reply.
    pub fn ask_all(&mut self, commands: &[&[&str]]) -> Result<Vec<Vec<String>>, BenchError> {
        let mut bytes = Vec::new();
        for command in commands {
            let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
            bytes.extend(request(&command));
        }
        self.stream.write_all(&bytes).map_err(failed("ask", "a server"))?;
        commands.iter().map(|command| self.reply(command[0])).collect()
    }

    fn reply(&mut self, command: &str) -> Result<Vec<String>, BenchError> {
        let mut texts = Vec::new();
        read_reply(&mut self.replies, &mut texts).map_err(failed("hear from", "a server"))?;
        match texts.first().filter(|text| text.starts_with('-')) {
            Some(error) => Err(BenchError::Program(format!("{command}: '{error}'"))),
            None => Ok(texts),
        }
    }

    /// Sets so many keys, each to a value of its own.
    pub fn fill(&mut self, keys: usize) -> Result<(), BenchError> {
        for first in (0..keys).step_by(BATCH) {
            let pairs: Vec<_> =
                (first..keys.min(first + BATCH)).map(|key| (key_of(key), value_of(key))).collect();
            let commands: Vec<[&str; 3]> =
                pairs.iter().map(|(key, value)| ["set", key.as_str(), value.as_str()]).collect();
            self.ask_all(&commands.iter().map(<[&str; 3]>::as_slice).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

/// Returns the name of a key.
pub fn key_of(key: usize) -> String {
    format!("key:{key}")
}

/// Returns the value of a key.
pub fn value_of(key: usize) -> String {
    format!("value-of-{key}")
}

/// Reads a reply. An error keeps its `-`.
fn read_reply(input: &mut impl BufRead, texts: &mut Vec<String>) -> io::Result<()> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let (kind, rest) = line.split_at(line.len().min(1));
    let length = rest.parse::<i64>().unwrap_or_default();
    match kind {
        "-" => texts.push(line.to_owned()),
        "$" if length < 0 => texts.push(String::new()),
        "$" => {
            let mut bytes = vec![0; length as usize + 2];
            input.read_exact(&mut bytes)?;
            bytes.truncate(length as usize);
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        "*" => (0..length).try_for_each(|_| read_reply(input, texts))?,
        _ => texts.push(rest.to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_replies_are_read() {
        let mut input = &b"*3\r\n$4\r\npids\r\n:7\r\n$-1\r\n-ERR no\r\n"[..];
        let mut texts = Vec::new();
        read_reply(&mut input, &mut texts).unwrap();
        assert_eq!(texts, ["pids", "7", ""]);
        read_reply(&mut input, &mut texts).unwrap();
        assert_eq!(texts[3], "-ERR no");
        assert!(read_reply(&mut input, &mut texts).is_err());
    }
}
