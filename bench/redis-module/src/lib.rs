//! The commands of the benchmark's plugin as a Redis module: `bench.nop`, `bench.echo`, ... so that
//! none of them collides with a command of Redis.

mod forward;

use std::{thread, time::Duration};

use redis_module::{
    Context, NextArg, RedisError, RedisResult, RedisString, RedisValue, ThreadSafeContext,
    redis_module,
};

#[path = "../../burn.rs"]
mod burn;

/// Maximum duration of one call.
const MOST: Duration = Duration::from_secs(10);

redis_module! {
    name: "bench",
    version: 1,
    allocator: (redis_module::alloc::RedisAlloc, redis_module::alloc::RedisAlloc),
    data_types: [],
    commands: [
        ["bench.nop", nop, "fast", 0, 0, 0, ""],
        ["bench.echo", echo, "fast", 0, 0, 0, ""],
        ["bench.sleep", sleep, "", 0, 0, 0, ""],
        ["bench.burn", burn_for, "", 0, 0, 0, ""],
        ["bench.sleep-in-thread", sleep_in_thread, "", 0, 0, 0, ""],
        ["bench.burn-in-thread", burn_in_thread, "", 0, 0, 0, ""],
        ["bench.forward", forward::forward, "", 0, 0, 0, ""],
        ["bench.forward-blocked", forward::forward_blocked, "", 0, 0, 0, ""],
    ],
}

fn nop(_: &Context, _: Vec<RedisString>) -> RedisResult {
    Ok(RedisValue::SimpleStringStatic("OK"))
}

fn echo(_: &Context, arguments: Vec<RedisString>) -> RedisResult {
    Ok(RedisValue::BulkRedisString(arguments.into_iter().skip(1).next_arg()?))
}

fn sleep(_: &Context, arguments: Vec<RedisString>) -> RedisResult {
    thread::sleep(time(arguments, Duration::from_millis)?);
    Ok(RedisValue::SimpleStringStatic("OK"))
}

fn burn_for(_: &Context, arguments: Vec<RedisString>) -> RedisResult {
    burn_now(time(arguments, Duration::from_micros)?);
    Ok(RedisValue::SimpleStringStatic("OK"))
}

/// Sleeps as Redis requires of a long command: the client is blocked, a thread replies.
fn sleep_in_thread(context: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let time = time(arguments, Duration::from_millis)?;
    in_thread(context, move || thread::sleep(time))
}

/// Works in a thread, as `sleep_in_thread` sleeps.
fn burn_in_thread(context: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let time = time(arguments, Duration::from_micros)?;
    in_thread(context, move || burn_now(time))
}

fn in_thread(context: &Context, work: impl FnOnce() + Send + 'static) -> RedisResult {
    let client = context.block_client();
    thread::spawn(move || {
        work();
        ThreadSafeContext::with_blocked_client(client)
            .reply(Ok(RedisValue::SimpleStringStatic("OK")));
    });
    Ok(RedisValue::NoReply)
}

fn burn_now(time: Duration) {
    burn::burn(u64::try_from(time.as_micros()).unwrap_or_default());
}

fn time(arguments: Vec<RedisString>, unit: fn(u64) -> Duration) -> Result<Duration, RedisError> {
    let time = unit(arguments.into_iter().skip(1).next_u64()?);
    Some(time).filter(|time| *time <= MOST).ok_or(RedisError::Str("a time is 0 to 10 seconds"))
}
