//! Busy clients beside many idle ones, which should cost them nothing.

use std::{
    fmt::Write as _,
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    time::Duration,
};

use rustix::net;

use crate::{
    error::{BenchError, failed},
    idle::{begin, send_command},
    limits::most_idle_connections,
    plan::{Ask, Cell, Contestant, Section},
    program::check_interrupted,
    report::{RATIO_HEAD, ratios},
    results::Results,
    rounds::{Effort, Measured, Servers, prepare, sample},
    server::{Server, request},
    statistics::{Spread, grouped, ratio},
};

/// Measures both cells: the busy clients alone, and beside the idle ones. In each round the two
/// turns of a server follow each other, and in every second round the idle clients come first.
pub fn measure(
    (alone, beside): (&Cell, &Cell),
    servers: &Servers,
    effort: Effort,
) -> Result<[Measured; 2], BenchError> {
    let beside = possible(beside);
    let mut measured = [Measured::without_results(alone), Measured::without_results(&beside)];
    let mut turns: Vec<(Contestant, &Server, u64)> = Vec::new();
    for contestant in &alone.contestants {
        let Some(server) = servers.get(&contestant.program()) else { continue };
        match prepare(alone, *contestant, server, effort) {
            Ok(requests) => turns.push((*contestant, server, requests)),
            Err(error) => measured[0].note_failure(*contestant, error)?,
        }
    }
    for round in 0..effort.rounds {
        for turn in 0..turns.len() {
            // Each contestant is the first in some round.
            let (contestant, server, requests) = turns[(turn + round) % turns.len()];
            let turn = |cell: &Cell| sample(cell, contestant, server, requests);
            let with_idle = || {
                let clients = IdleClients::connect(contestant, server, &beside)?;
                let sample = turn(&beside)?;
                clients.check()?;
                Ok(sample)
            };
            let both = || {
                if round % 2 == 0 {
                    Ok([turn(alone)?, with_idle()?])
                } else {
                    let with = with_idle()?;
                    Ok([turn(alone)?, with])
                }
            };
            match both() {
                Ok(both) => {
                    for (measured, turn) in measured.iter_mut().zip(both) {
                        measured.add(contestant, turn);
                    }
                }
                Err(error) => measured[1].note_failure(contestant, error)?,
            }
        }
    }
    Ok(measured)
}

/// Returns the cell with as many idle clients as the system allows.
fn possible(beside: &Cell) -> Cell {
    let mut beside = beside.clone();
    if let Ask::NopBesideIdle(wanted) = &mut beside.ask {
        let most = most_idle_connections();
        if most < *wanted {
            let (most, wanted) = (grouped(most as i64), grouped(*wanted as i64));
            eprintln!("bench: open files suffice for {most} idle clients, not {wanted}");
        }
        *wanted = most.min(*wanted);
    }
    beside
}

/// Clients that have sent one command each and stay connected.
struct IdleClients {
    ask: Vec<u8>,
    clients: Vec<TcpStream>,
}

impl IdleClients {
    fn connect(contestant: Contestant, server: &Server, beside: &Cell) -> Result<Self, BenchError> {
        let Ask::NopBesideIdle(count) = beside.ask else {
            return Err(BenchError::Program("a load without idle clients".into()));
        };
        let ask = request(&contestant.command(Ask::Nop));
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            check_interrupted()?;
            let client = connect_from(source(number), server.address);
            let mut client = client.map_err(failed("connect to", "a server"))?;
            begin(&mut client, &ask)?;
            clients.push(client);
        }
        Ok(Self { ask, clients })
    }

    /// Fails if one of them is served no more.
    fn check(mut self) -> Result<(), BenchError> {
        self.clients.iter_mut().try_for_each(|client| send_command(client, &self.ask))
    }
}

/// Number of idle clients with one address: with more, the search for a free port would take long.
const EACH: usize = 4000;

/// Returns the address of an idle client, on loopback and none of a busy client.
fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 1, 0)) + (number / EACH) as u32)
}

/// Connects from any port of this address. When the client drops, the connection is reset, so that
/// the system does not keep its port.
fn connect_from(source: Ipv4Addr, server: SocketAddr) -> io::Result<TcpStream> {
    let flags = net::SocketFlags::CLOEXEC;
    let (family, kind) = (net::AddressFamily::INET, net::SocketType::STREAM);
    let socket = net::socket_with(family, kind, flags, None)?;
    net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    net::bind(&socket, &SocketAddrV4::new(source, 0))?;
    net::connect(&socket, &server)?;
    Ok(socket.into())
}

/// Returns the rates beside so many idle clients, to those without, within each round.
pub fn compare(results: &Results, contestant: Contestant, idle: usize) -> Option<Spread> {
    let of = |ask| {
        let mut all = results.of(Section::BesideIdle);
        all.find(|it| it.cell.ask == ask)?.figures(contestant, |it| it.served.rate)
    };
    ratio(&of(Ask::NopBesideIdle(idle))?, &of(Ask::Nop)?)
}

/// Writes the ratios of both loads.
pub fn write(text: &mut String, results: &Results) -> std::fmt::Result {
    let is_alone = |measured: &&Measured| measured.cell.ask == Ask::Nop;
    let (alone, beside): (Vec<_>, Vec<_>) = results.of(Section::BesideIdle).partition(is_alone);
    let Some((alone, beside)) = alone.first().zip(beside.first()) else { return Ok(()) };
    writeln!(
        text,
        "\nThe busy clients beside the idle ones, to the same without them:\n\n\
         | server | {RATIO_HEAD} |\n| --- | --- | --- | --- |"
    )?;
    for contestant in &beside.cell.contestants {
        if let Some(row) = ratios((beside, *contestant), (alone, *contestant)) {
            writeln!(text, "| {} | {row} |", contestant.name())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{generator::LoadResult, rounds::Sample};

    #[test]
    fn idle_clients_have_addresses_of_their_own() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        for (number, source) in [(0, "127.0.1.0"), (EACH - 1, "127.0.1.0"), (EACH, "127.0.1.1")] {
            let _client = connect_from(super::source(number), address).unwrap();
            assert_eq!(server.accept().unwrap().1.ip().to_string(), source);
        }
    }

    #[test]
    fn rates_with_and_without_are_compared() {
        let contestant = Contestant::HostShared;
        let mut results = Results::default();
        for (cell, rate) in Section::BesideIdle.cells(false).iter().zip([10.0, 9.0]) {
            let mut measured = Measured::without_results(cell);
            let served = LoadResult { rate, p50: 1.0, p99: 1.0, p999: None };
            let sample = Sample { served, cpu: 1.0, threads: 1, resident: 1, generator: None };
            measured.add(contestant, (sample, String::new()));
            results.measured.push(measured);
        }
        let of = |idle| compare(&results, contestant, idle).map(|ratio| ratio.median);
        assert_eq!(of(crate::plan::IDLE), Some(0.9));
        assert_eq!(of(7), None, "so many were not measured");
    }
}
