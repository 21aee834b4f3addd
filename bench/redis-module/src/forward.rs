//! Commands whose work another process does, behind a Unix socket: the way to keep a fault of the
//! work from ending Redis. A frame is a length in 4 bytes, little endian, and that many bytes.

use std::{
    env,
    io::{self, BufReader, Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use redis_module::{
    Context, NextArg as _, RedisError, RedisResult, RedisString, RedisValue, ThreadSafeContext,
};

/// Replies to a blocked client, whose type has no public name.
type Reply = Box<dyn FnOnce(RedisResult) + Send>;

/// The environment variable with the path of the socket.
const SOCKET: &str = "BENCH_FORWARD_SOCKET";

/// The connection of the commands that wait for the process.
static WAITING: Mutex<Option<BufReader<UnixStream>>> = Mutex::new(None);

/// The connection of the commands that block their client, and the replies in the order of calls.
static BLOCKING: Mutex<Option<(UnixStream, Sender<Reply>)>> = Mutex::new(None);

/// Forwards in Redis's own thread, which waits for the answer.
pub fn forward(_: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let text = arguments.into_iter().skip(1).next_arg()?;
    let mut kept = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => BufReader::new(connect().map_err(failure)?),
    };
    send(stream.get_mut(), text.as_slice()).map_err(failure)?;
    let reply = receive(&mut stream).map_err(failure)?;
    // Only an intact connection is kept.
    *kept = Some(stream);
    Ok(RedisValue::StringBuffer(reply))
}

/// Forwards and blocks the client; a thread reads the answers and replies.
pub fn forward_blocked(context: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let text = arguments.into_iter().skip(1).next_arg()?;
    let mut kept = BLOCKING.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut stream, replies) = match kept.take() {
        Some(connection) => connection,
        None => start_thread().map_err(failure)?,
    };
    send(&mut stream, text.as_slice()).map_err(failure)?;
    let client = context.block_client();
    let reply: Reply = Box::new(move |reply| {
        ThreadSafeContext::with_blocked_client(client).reply(reply);
    });
    replies
        .send(reply)
        .map_err(|_| RedisError::Str("the thread that reads the answers has ended"))?;
    *kept = Some((stream, replies));
    Ok(RedisValue::NoReply)
}

fn start_thread() -> io::Result<(UnixStream, Sender<Reply>)> {
    let stream = connect()?;
    let answers = BufReader::new(stream.try_clone()?);
    let (sender, replies) = mpsc::channel();
    thread::Builder::new().spawn(move || reply_in_order(answers, &replies))?;
    Ok((stream, sender))
}

fn reply_in_order(mut answers: BufReader<UnixStream>, replies: &Receiver<Reply>) {
    for reply in replies {
        let answer = receive(&mut answers);
        let failed = answer.is_err();
        reply(answer.map(RedisValue::StringBuffer).map_err(failure));
        if failed {
            return;
        }
    }
}

fn connect() -> io::Result<UnixStream> {
    UnixStream::connect(env::var_os(SOCKET).unwrap_or_default())
}

fn send(stream: &mut UnixStream, text: &[u8]) -> io::Result<()> {
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(4 + text.len());
    frame.extend(length.to_le_bytes());
    frame.extend(text);
    stream.write_all(&frame)
}

fn receive(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut text = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut text)?;
    Ok(text)
}

fn failure(error: io::Error) -> RedisError {
    RedisError::String(format!("cannot forward: {error}"))
}
