//! A server of a few lines, and the client run against it.
#![allow(dead_code, reason = "no test uses all of it")]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The notice of a host that stops.
pub const NOTICE: &[u8] = b">2\r\n$6\r\nnotice\r\n$27\r\nthe server is shutting down\r\n";

/// The notice of a host that stops and may come back.
pub const RESTARTING: &[u8] =
    b">2\r\n$6\r\nnotice\r\n$45\r\nthe server is stopping, perhaps for a restart\r\n";

/// Long enough for any machine; only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One accepted connection.
pub struct Talk {
    reader: BufReader<TcpStream>,
}

impl Talk {
    /// The next command, or `None` when the client is gone.
    pub fn command(&mut self) -> Option<Vec<String>> {
        let count = self.number()?;
        (0..count)
            .map(|_| {
                let length = self.number()?;
                let mut bytes = vec![0; length + 2];
                self.reader.read_exact(&mut bytes).ok()?;
                Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
            })
            .collect()
    }

    fn number(&mut self) -> Option<usize> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse().ok()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        // A client that is gone already is what some tests are about.
        let _ = self.reader.get_mut().write_all(bytes);
    }

    /// Sends what `echo` would reply.
    pub fn send_text(&mut self, text: &str) {
        self.send(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
    }

    /// Answers the client's greeting as a host that can cancel: the session has this number.
    pub fn greet_as(&mut self, id: u8) {
        assert_eq!(self.command().unwrap(), ["HELLO", "3"]);
        self.send(format!("%2\r\n+server\r\n+fake\r\n+id\r\n:{id}\r\n").as_bytes());
    }

    /// Answers the client's greeting.
    pub fn greet(&mut self) {
        assert_eq!(self.command().unwrap(), ["HELLO", "3"]);
        self.send(b"%1\r\n+server\r\n+fake\r\n");
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // A close with unread input would send a reset, which can overtake what was sent.
        let _ = self.reader.get_ref().shutdown(Shutdown::Write);
        let _ = io::copy(&mut self.reader, &mut io::sink());
    }
}

/// Serves one connection with `serve`, which closes it by returning; gives the port.
pub fn server(serve: impl FnOnce(&mut Talk) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        serve(&mut Talk { reader: BufReader::new(stream) });
    });
    port
}

/// Serves each connection with `serve`, which is told how many came before; gives the port.
pub fn crowd(serve: impl Fn(usize, &mut Talk) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let serve = Arc::clone(&serve);
            let mut talk = Talk { reader: BufReader::new(stream.unwrap()) };
            thread::spawn(move || serve(index, &mut talk));
        }
    });
    port
}

/// The client with an environment of its own, for a server on this port.
pub fn client(port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DROPIN_")) {
        command.env_remove(name);
    }
    command
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("APPDATA", std::env::temp_dir().join("nonexistent"))
        .env("DROPIN_HISTORY", "")
        .env("DROPIN_PORT", port.to_string());
    command
}
