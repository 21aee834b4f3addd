//! Addresses as people write them.

use crate::error::Error;

/// Returns a host name or an IP address; an IPv6 address loses its brackets.
pub fn parse_host(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let invalid = || {
        Error::Usage(format!(
            "'{}' is no address: give a host name or an IP address, such as 192.168.1.20",
            text.escape_debug()
        ))
    };
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
        return Err(invalid());
    }
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']').unwrap_or(("", "")),
        None => match text.split_once(':') {
            // An IPv6 address has more than one colon.
            Some((host, port)) if !port.contains(':') => (host, port),
            _ => (text, ""),
        },
    };
    if host.is_empty() {
        return Err(invalid());
    }
    if !rest.is_empty() {
        return Err(Error::Usage(format!(
            "the address '{text}' holds a port: give '{host}' as the address and the port with \
             --port, DROPIN_PORT or the settings file"
        )));
    }
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_brackets_and_must_be_valid() {
        for (text, host) in [
            ("example.org", "example.org"),
            (" 10.0.0.1 ", "10.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
        ] {
            assert_eq!(parse_host(text).unwrap(), host);
        }
        for (text, part) in [
            ("example.org:5000", "--port"),
            ("[::1]:5000", "--port"),
            ("[::1", "no address"),
            ("a b", "no address"),
            ("http://x", "no address"),
            (" ", "no address"),
        ] {
            let message = parse_host(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
