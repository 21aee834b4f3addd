//! The time limits of one call in a process.

use std::time::{Duration, Instant};

use super::{
    cause::{Cause, seconds},
    protocol::Step,
};

/// The time from the cancellation of a call that takes too long to the end of its process.
const MERCY: Duration = Duration::from_secs(1);

/// The time before the end of the host's grace at which a process that still runs a call is ended.
const LAST: Duration = Duration::from_millis(300);

/// The time limits of one call in a process.
#[derive(Debug)]
pub struct CallTimer {
    started: Instant,
    timeout: Option<Duration>,
    is_cancelled: bool,
    /// The time at which the host ends the process.
    kill_at: Option<Instant>,
}

impl CallTimer {
    /// Makes the timer of a call that starts now; without a timeout it takes as long as it takes.
    #[must_use]
    pub fn start(timeout: Option<Duration>, now: Instant) -> Self {
        Self { started: now, timeout, is_cancelled: false, kill_at: None }
    }

    /// Returns the longest time of the call.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Starts anew, for a call that has waited for its turn or for the next one of a queue.
    pub fn restart(&mut self, now: Instant) {
        *self = Self::start(self.timeout, now);
    }

    /// Decides about a call that is not answered yet. `deadline` is the end of the host's grace,
    /// if the process is ended then.
    ///
    /// # Errors
    /// The cause for which the process has to be ended.
    pub fn step(
        &mut self,
        now: Instant,
        deadline: Option<Instant>,
        is_cancelled: impl FnOnce() -> bool,
    ) -> Result<Step, Cause> {
        if deadline.is_some_and(|deadline| now + LAST >= deadline) {
            return Err(Cause::Asked);
        }
        if let Some(timeout) = self.timeout
            && self.kill_at.is_none()
            && now.saturating_duration_since(self.started) >= timeout
        {
            self.kill_at = Some(now + MERCY);
            if !std::mem::replace(&mut self.is_cancelled, true) {
                return Ok(Step::Cancel);
            }
        }
        if let Some(timeout) = self.timeout
            && self.kill_at.is_some_and(|kill_at| now >= kill_at)
        {
            return Err(Cause::Limit(format!("its call-timeout of {}", seconds(timeout))));
        }
        if !self.is_cancelled && is_cancelled() {
            self.is_cancelled = true;
            return Ok(Step::Cancel);
        }
        Ok(Step::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    /// A timer, and a clock that shows the time since its start.
    fn timer(timeout: Option<Duration>) -> (CallTimer, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (CallTimer::start(timeout, start), move |millis| start + Duration::from_millis(millis))
    }

    fn exceeded() -> Result<Step, Cause> {
        Err(Cause::Limit("its call-timeout of 5 s".into()))
    }

    #[test]
    fn slow_call_is_cancelled_once_then_ended() {
        let (mut timer, at) = timer(Some(TIMEOUT));
        let mut step = |millis| timer.step(at(millis), None, || false);
        assert_eq!([step(0), step(4_999)], [Ok(Step::Wait), Ok(Step::Wait)]);
        assert_eq!(step(5_040), Ok(Step::Cancel));
        assert_eq!([step(5_041), step(6_039)], [Ok(Step::Wait), Ok(Step::Wait)]);
        assert_eq!([step(6_040), step(9_000)], [exceeded(), exceeded()]);
    }

    #[test]
    fn call_without_timeout_waits_for_ever() {
        let (mut timer, at) = timer(None);
        assert_eq!(timer.step(at(86_400_000), None, || false), Ok(Step::Wait));
    }

    #[test]
    fn cancelled_call_is_told_once() {
        let (mut timer, at) = timer(Some(TIMEOUT));
        assert_eq!(timer.step(at(1), None, || true), Ok(Step::Cancel));
        assert_eq!(timer.step(at(2), None, || panic!("it is known")), Ok(Step::Wait));
        // It has the same time as any other, and is not told again.
        assert_eq!(timer.step(at(5_000), None, || true), Ok(Step::Wait));
        assert_eq!(timer.step(at(5_999), None, || true), Ok(Step::Wait));
        assert_eq!(timer.step(at(6_000), None, || true), exceeded());
    }

    #[test]
    fn shutdown_ends_the_process_before_its_deadline() {
        let (mut timer, at) = timer(Some(TIMEOUT));
        let deadline = Some(at(2_000));
        assert_eq!(timer.step(at(1_699), deadline, || true), Ok(Step::Cancel));
        assert_eq!(timer.step(at(1_700), deadline, || true), Err(Cause::Asked));
        assert_eq!(timer.step(at(9_000), deadline, || true), Err(Cause::Asked));
    }

    #[test]
    fn next_call_has_its_own_time() {
        let (mut timer, at) = timer(Some(TIMEOUT));
        assert_eq!(timer.step(at(5_000), None, || false), Ok(Step::Cancel));
        timer.restart(at(5_100));
        assert_eq!(timer.step(at(6_000), None, || false), Ok(Step::Wait));
        assert_eq!(timer.step(at(10_099), None, || false), Ok(Step::Wait));
        assert_eq!(timer.step(at(10_100), None, || false), Ok(Step::Cancel));
    }
}
