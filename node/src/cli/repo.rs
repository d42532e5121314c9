//! `repo`: the repository as one machine keeps it.

use super::{Failure, print, show::unexpected};
use crate::{
    home::Home,
    local::{Client, LocalReply, LocalRequest, views::CheckView},
};

pub(super) async fn check(home: &Home, json: bool) -> Result<(), Failure> {
    let mut client = Client::ask(home, &LocalRequest::CheckRepository).await?;
    let view = match client.next().await? {
        LocalReply::Checked(view) => view,
        other => return Err(unexpected(other)),
    };
    if json {
        print::json(&view)?;
    } else {
        tell(&view)?;
    }
    match view.damaged.len() {
        0 => Ok(()),
        damaged => Err(Failure::Failed(format!(
            "{damaged} of {} are damaged, and no machine in reach has them: start the others, or build them again ('pacmesh rebuild')",
            view.checked
        ))),
    }
}

fn tell(view: &CheckView) -> Result<(), Failure> {
    for healed in &view.healed {
        print::line(format!("healed   {} ({})", healed.what, healed.path))?;
    }
    for damaged in &view.damaged {
        print::line(format!("damaged  {} ({})", damaged.what, damaged.path))?;
    }
    print::line(format!(
        "{} blobs and files with {} MiB were read: {} were damaged, {} are whole again",
        view.checked,
        view.bytes >> 20,
        view.healed.len() + view.damaged.len(),
        view.healed.len()
    ))
}
