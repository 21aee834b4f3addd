//! Opens a TCP connection to the first address that takes one.

use std::{
    net::{IpAddr, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use crate::{error::Error, places::config::Target};

/// Tries every address of every host of the target; gives the stream, the host that was meant, and the
/// name to call the peer by.
pub fn dial(target: &Target, timeout: Duration) -> Result<(TcpStream, String, String), Error> {
    let mut tried = Vec::new();
    for host in &target.hosts {
        let addresses = (host.as_str(), target.port)
            .to_socket_addrs()
            .map_err(|source| Error::Resolve { host: host.clone(), source })?;
        for address in addresses {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => return Ok((stream, host.clone(), name(host, target.port))),
                Err(error) => tried.push((address, error)),
            }
        }
    }
    let host = target.hosts.first().map_or("", String::as_str);
    Err(Error::Connect { name: name(host, target.port), tried, timeout })
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
    fn a_refused_address_leads_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stream, _, name) =
            dial(&target(&["127.0.0.2", "127.0.0.1"], port), Duration::from_secs(5)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(name, format!("127.0.0.1:{port}"));
    }

    #[test]
    fn failures_name_every_address_and_what_to_do() {
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
    fn names_put_ipv6_in_brackets() {
        assert_eq!(name("::1", 5000), "[::1]:5000");
        assert_eq!(name("example.org", 5000), "example.org:5000");
    }
}
