//! The built-in `fleet`, which shows the other hosts and rolls plugins out to them.

use plugin_engine::call::Call;
use protocol::Encoder;

use super::subcommands::{self, Subcommand};
use crate::{
    commands::{caller::Caller, flow::Flow},
    runtime::rollout_request::RolloutRequest,
};

pub(super) const HELP: &str =
    "Lists the other hosts of the fleet, or rolls plugins out: rollout, rollback or forget NAME.";

/// The subcommands.
pub(super) const SUBCOMMANDS: [Subcommand; 4] = [
    Subcommand {
        name: "forget",
        usage: "PLUGIN",
        help: "Ends its rollout: no further host takes it.",
    },
    Subcommand {
        name: "push",
        usage: "STEP [ARGUMENT..]",
        help: "Offers a file to all hosts, in pieces; see `client plugin push`.",
    },
    Subcommand {
        name: "rollback",
        usage: "PLUGIN",
        help: "Puts the version before back on all hosts.",
    },
    Subcommand { name: "rollout", usage: "", help: "Shows the rollouts of plugins." },
];

pub(super) fn run(call: &Call<'_>, caller: &Caller<'_>, reply: &mut Encoder) -> Flow {
    let Some(subcommand) = call.argument(0) else {
        caller.shared.membership.write_members(reply);
        return Flow::Next;
    };
    match read(call, subcommand, caller.session.id) {
        Some(request) => caller.shared.membership.answer_rollout(request, reply),
        None if subcommand.eq_ignore_ascii_case(b"push") => reply.error(
            "ERR",
            b"usage: fleet push begin FILE SIZE [SIGNATURE], fleet push part UPLOAD BYTES, fleet \
              push end UPLOAD; `client plugin push FILE` does all of it",
        ),
        None => subcommands::refuse("fleet", &SUBCOMMANDS, subcommand, reply),
    }
    Flow::Next
}

/// Returns the request of a call; `None` if it has the wrong arguments.
fn read<'a>(call: &Call<'a>, subcommand: &[u8], session: u64) -> Option<RolloutRequest<'a>> {
    let argument = |index: usize| call.argument(index);
    match (subcommand.to_ascii_lowercase().as_slice(), call.arguments().count()) {
        (b"rollout" | b"rollouts", 1) => Some(RolloutRequest::List),
        (b"rollback", 2) => argument(1).map(RolloutRequest::RollBack),
        (b"forget", 2) => argument(1).map(RolloutRequest::Forget),
        (b"push", count) => {
            let step = argument(1)?.to_ascii_lowercase();
            match (step.as_slice(), count) {
                (b"begin", 4 | 5) => Some(RolloutRequest::Begin {
                    session,
                    file: argument(2)?,
                    size: argument(3)?,
                    signature: argument(4).unwrap_or_default(),
                }),
                (b"part", 4) => Some(RolloutRequest::Part {
                    session,
                    upload: argument(2)?,
                    piece: argument(3)?,
                }),
                (b"end", 3) => Some(RolloutRequest::End { session, upload: argument(2)? }),
                _ => None,
            }
        }
        _ => None,
    }
}
