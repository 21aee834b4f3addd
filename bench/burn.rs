// The work of `burn`, the same in the plugin and in the Redis module.

/// Rounds that take about a microsecond on a processor of about 3 GHz. The unit is work, not time:
/// a thread that waits for a processor makes no progress.
const ROUNDS_PER_MICROSECOND: u64 = 1400;

/// Keeps one processor busy for about this many microseconds.
pub fn burn(micros: u64) -> u64 {
    (0..micros.saturating_mul(ROUNDS_PER_MICROSECOND))
        .fold(1, |number: u64, round| std::hint::black_box(number.wrapping_mul(3) ^ round))
}
