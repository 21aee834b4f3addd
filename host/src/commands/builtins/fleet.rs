//! The built-in `fleet`, which shows the other hosts.

use plugin_engine::call::Call;
use protocol::Encoder;

use crate::commands::{caller::Caller, flow::Flow};

pub(super) fn run(_: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    caller.shared.membership.write_members(reply);
    Flow::Next
}
