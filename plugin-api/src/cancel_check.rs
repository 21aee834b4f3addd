//! Cancellation inside a long loop.

use std::time::{Duration, Instant};

use crate::{Request, error::Result};

/// Number of steps between two readings of the clock.
const STEPS: u32 = 64;

/// The shortest time between two questions to the host whether the request is cancelled.
const INTERVAL: Duration = Duration::from_millis(10);

/// Ends a loop of many short steps once its request is cancelled. See [`Request::cancel_check`].
///
/// ```standalone_crate
/// use plugin_api::{Request, Result, plugin};
///
/// plugin! {
///     name: "numbers",
///     commands: { "sum" "[LAST]" => sum, "Adds the numbers from 1 to LAST, or for ever."; }
/// }
///
/// fn sum(request: &Request) -> Result<u64> {
///     let last = if request.is_empty() { u64::MAX } else { request.integer(0)?.try_into()? };
///     let (mut check, mut sum) = (request.cancel_check(), 0_u64);
///     for number in 1..=last {
///         check.step()?;
///         sum = sum.wrapping_add(number);
///     }
///     Ok(sum)
/// }
///
/// // The test:
/// use plugin_api::testing::Plugin;
///
/// let plugin = Plugin::start(&PLUGIN).unwrap();
/// assert_eq!(plugin.call("sum", &["1000"]), Ok(500_500.into()));
/// std::thread::scope(|scope| {
///     let endless = scope.spawn(|| plugin.call("sum", &[]));
///     plugin.cancel();
///     assert_eq!(endless.join().unwrap().unwrap_err().kind(), "CANCELLED");
/// });
/// // The first step notices the cancellation as well.
/// assert_eq!(plugin.call("sum", &["1"]).unwrap_err().kind(), "CANCELLED");
/// ```
pub struct CancelCheck<'a> {
    request: &'a Request,
    /// Steps left until the clock is read.
    left: u32,
    /// Time of the next question to the host.
    due: Instant,
}

impl<'a> CancelCheck<'a> {
    pub(crate) fn new(request: &'a Request) -> Self {
        // The first step asks the host, so that a request that is already cancelled does no work.
        Self { request, left: 0, due: Instant::now() }
    }

    /// Counts one step of the loop. Most steps cost one addition.
    ///
    /// # Errors
    /// An error of the kind `CANCELLED` where the request is
    /// [`cancelled`](Request::cancelled).
    pub fn step(&mut self) -> Result<()> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.look(),
        }
    }

    #[cold]
    fn look(&mut self) -> Result<()> {
        self.left = STEPS - 1;
        let now = Instant::now();
        if now < self.due {
            return Ok(());
        }
        self.due = now + INTERVAL;
        self.request.check_cancelled()
    }
}
