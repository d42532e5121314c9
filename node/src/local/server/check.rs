//! `repo check`: everything that this node keeps is read again, and what is damaged is mended where somebody has it.

use std::sync::Arc;

use super::caller::{Caller, End};
use crate::{
    blobs::scrub::{self, Finding},
    error::chain,
    local::{
        request::LocalReply,
        views::{CheckView, DamageView},
    },
    rooms::Rooms,
};

/// Most findings that are listed of each sort, so that the answer fits into a frame.
const LISTED: usize = 1000;

pub(super) async fn check(rooms: &Arc<Rooms>, caller: &mut Caller) -> Result<(), End> {
    let checked = scrub::check(rooms).await;
    let (checked, bytes, findings) = checked.map_err(|error| chain(&error))?;
    let mut view = CheckView {
        checked,
        bytes,
        ..CheckView::default()
    };
    for finding in findings {
        let list = match finding.healed {
            true => &mut view.healed,
            false => &mut view.damaged,
        };
        if list.len() < LISTED {
            list.push(shown(finding));
        }
    }
    caller.say(LocalReply::Checked(view)).await
}

fn shown(finding: Finding) -> DamageView {
    DamageView {
        what: finding.what,
        path: finding.path.display().to_string(),
    }
}
