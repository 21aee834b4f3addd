//! Measurements, which run on request:
//! `cargo test -p store --release -- --ignored --nocapture speed`.

use std::{fs, hint::black_box, sync::Arc, time::Instant};

use plugin_api::Commands;

use crate::{Store, clock::NEVER, map::Map, memory::Room, position};

const KEYS: usize = 3_000_000;

fn store() -> Store {
    Store { map: Arc::new(Map::default()) }
}

/// Returns the memory of this process, in bytes; 0 on a system without `/proc`.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_usize) * 4_096
}

fn key(number: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    key[8..].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    key
}

fn put(store: &Store, number: usize, expiry: u64) {
    store.map.put(store.entry(&key(number), &[7; 16], expiry), Room::UNBOUNDED).unwrap();
}

fn nanos(what: &str, count: usize, mut step: impl FnMut(usize)) {
    let started = Instant::now();
    (0..count).for_each(&mut step);
    println!("{what}: {:.0} ns", started.elapsed().as_nanos() as f64 / count as f64);
}

#[test]
#[ignore = "takes some seconds and is for a release build"]
fn speed_and_memory_of_three_million_keys() {
    for keys in [1_000, KEYS] {
        let store = store();
        let before = resident();
        nanos("first set", keys, |number| put(&store, number, NEVER));
        let used = store.map.memory.used() as f64 / keys as f64;
        let real = resident().saturating_sub(before) as f64 / keys as f64;
        println!("{keys} keys: {real:.0} bytes each, counted as {used:.0}");
        nanos("set", KEYS, |number| put(&store, number % keys, NEVER));
        nanos("get", KEYS, |number| {
            black_box(store.map.get(store.map.key(&key(number % keys))));
        });
    }
}

#[test]
#[ignore = "as above"]
fn speed_of_keys_that_expire() {
    let (store, before) = (store(), resident());
    nanos("first set that expires", KEYS, |number| put(&store, number, 1 + number as u64));
    let used = store.map.memory.used() / KEYS as u64;
    println!("{} bytes each, counted as {used}", (resident() - before) / KEYS);
    let started = Instant::now();
    store.map.sweep(KEYS as u64, || false);
    println!("sweep: {:?}", started.elapsed());
    assert_eq!(store.map.len(|| 0), 0);
}

#[test]
#[ignore = "as above"]
fn speed_of_a_stream() {
    let (store, next) = (store(), store());
    for number in 0..KEYS {
        put(&store, number, NEVER);
    }
    let mut longest = std::time::Duration::ZERO;
    for index in 0..position::PARTS as u64 {
        let started = Instant::now();
        black_box(store.map.send(index * position::PER_PART, 512, 128 << 10));
        longest = longest.max(started.elapsed());
    }
    println!("longest lock: {longest:?}");
    let started = Instant::now();
    store.map.begin_stream();
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    loop {
        let mut commands = Commands::default();
        if !store.map.next_of_stream(&mut commands) {
            break;
        }
        bytes += commands.len();
        pieces.push(commands.into_bytes());
    }
    println!("stream: {:?}, {} pieces, {bytes} bytes", started.elapsed(), pieces.len());
    let started = Instant::now();
    for piece in &pieces {
        let (mut reader, mut spans) = (plugin_api::commands::CommandReader::new(piece), Vec::new());
        while reader.next(&mut spans).unwrap().is_some() {
            let word = |span: &plugin_api::abi::Span| {
                &piece[span.start as usize..][..span.length as usize]
            };
            let entries = spans[1..].chunks_exact(2);
            let entries = entries.map(|pair| next.entry(word(&pair[0]), word(&pair[1]), NEVER));
            next.map.put_all(entries.collect(), Room::UNBOUNDED).unwrap();
        }
    }
    println!("replay: {:?}", started.elapsed());
    assert_eq!(next.map.len(|| 0), KEYS);
}
