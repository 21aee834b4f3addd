//! Opens a TCP connection to the first address that accepts one.

use std::{
    net::{IpAddr, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use crate::{
    error::{ConnectAttempt, Error},
    places::place::Target,
};

/// An open TCP connection and its other end.
#[derive(Debug)]
pub struct Dialed {
    /// The connection.
    pub stream: TcpStream,
    /// The host name or address of the target that has accepted.
    pub host: String,
    /// The name of the host in messages: host name or address, and port.
    pub name: String,
}

/// Connects to the first address of the target that accepts.
pub fn dial(target: &Target, timeout: Duration) -> Result<Dialed, Error> {
    let mut attempts = Vec::new();
    for host in &target.hosts {
        let addresses = (host.as_str(), target.port)
            .to_socket_addrs()
            .map_err(|source| Error::Resolve { host: host.clone(), source })?;
        for address in addresses {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => {
                    let name = name(host, target.port);
                    return Ok(Dialed { stream, host: host.clone(), name });
                }
                Err(error) => attempts.push(ConnectAttempt { address, error }),
            }
        }
    }
    let host = target.hosts.first().map_or("", String::as_str);
    Err(Error::Connect { name: name(host, target.port), attempts, timeout })
}

fn name(host: &str, port: u16) -> String {
    match host.contains(':') && host.parse::<IpAddr>().is_ok() {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn target(hosts: &[&str], port: u16) -> Target {
        Target { hosts: hosts.iter().map(|host| host.to_string()).collect(), port }
    }

    #[test]
    fn next_address_is_tried_after_a_refusal() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let Dialed { stream, name, .. } =
            dial(&target(&["127.0.0.2", "127.0.0.1"], port), Duration::from_secs(5)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(name, format!("127.0.0.1:{port}"));
    }

    #[test]
    fn failure_names_every_address_and_advice() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = dial(&target(&["127.0.0.1", "127.0.0.2"], port), Duration::from_secs(5));
        let text = error.unwrap_err().to_string();
        for part in
            [&format!("127.0.0.1:{port}"), &format!("127.0.0.2:{port}"), "refused", "--port"]
        {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn ipv6_address_gets_brackets() {
        assert_eq!(name("::1", 5000), "[::1]:5000");
        assert_eq!(name("example.org", 5000), "example.org:5000");
    }
}
