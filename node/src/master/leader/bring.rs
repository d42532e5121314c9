//! Changes that bring blobs: uploads, and long notes. What they name is fetched and kept by replicas beside the loop;
//! what of it enters is decided by the view of then.

use super::{super::upload, *};

impl Leader {
    /// Whether a change names blobs that must be kept before it is recorded.
    pub(super) fn brings_blobs(&self, carried: &Carried) -> bool {
        match &carried.body {
            Change::Upload { .. } => true,
            Change::Note { blobs, .. } => !blobs.is_empty(),
            _ => false,
        }
    }

    /// Fetches what a change brings.
    pub(super) fn fetch(&mut self, from: NodeId, carried: Carried, reply: oneshot::Sender<CarriedReply>) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            if let Change::Note { blobs, .. } = &carried.body {
                let result = keep(&rooms, blobs.clone(), vec![from, carried.origin]).await;
                let carried = Box::new(carried);
                return Event::Notes {
                    reply,
                    carried,
                    result,
                };
            }
            let result = upload::judge(rooms, from, carried).await.map(Box::new);
            Event::Upload { reply, result }
        });
    }

    /// Records what was judged, and answers when enough replicas have the record.
    pub(super) async fn accept_upload(
        &mut self,
        reply: oneshot::Sender<CarriedReply>,
        result: Result<Box<Judged>, String>,
    ) {
        let judged = match result {
            Ok(judged) => judged,
            Err(reason) => return answer(reply, CarriedReply::Refused { reason }),
        };
        let view = self.rooms.ledger.view();
        let request = judged.carried.request;
        if let Some(known) = asks::recorded(&self.rooms, &view, &request).await {
            return self.answer_again(known, judged.carried.origin, reply);
        }
        let planned = match upload::plan(&view, self.rooms.mesh, &judged, clock::wall_ms()) {
            Ok(planned) => planned,
            Err(error) => {
                let reason = format!("the upload is too much for one record ({error}): bring less at once");
                return answer(reply, CarriedReply::Refused { reason });
            }
        };
        if planned.entries.is_empty() {
            let copies = judged.copies.holders.len() as u32;
            let jobs = planned.jobs;
            return answer(reply, CarriedReply::Accepted { jobs, copies });
        }
        let record = match self.write(planned.entries, Some(request)).await {
            Ok(record) => record,
            Err(error) => {
                let reason = chain(&error);
                return answer(reply, CarriedReply::Refused { reason });
            }
        };
        let (rooms, jobs) = (self.rooms.clone(), planned.jobs);
        let (copied, copying) = watch::channel(());
        self.copying.push(copying);
        self.tasks.spawn(async move {
            // Closed when this ends, however it does.
            let _copied = copied;
            let copies = copies::replicate(&rooms, &record, &judged.copies).await;
            answer(reply, CarriedReply::Accepted { jobs, copies });
            Event::Nothing
        });
    }

    /// Records notes whose blobs are kept.
    pub(super) async fn accept_notes(
        &mut self,
        reply: oneshot::Sender<CarriedReply>,
        carried: Carried,
        result: Result<copies::Copies, String>,
    ) {
        let view = self.rooms.ledger.view();
        let planned = result.and_then(|copies| {
            let planned = changes::plan(&view, self.rooms.mesh, &carried.body, carried.request)?;
            Ok((planned, copies))
        });
        match planned {
            Ok((planned, copies)) => {
                self.record_change(
                    planned.entries,
                    planned.jobs,
                    carried.request,
                    Some(copies),
                    reply,
                )
                .await;
            }
            Err(reason) => answer(reply, CarriedReply::Refused { reason }),
        }
    }
}

async fn keep(
    rooms: &Arc<Rooms>,
    blobs: Vec<Digest>,
    holders: Vec<NodeId>,
) -> Result<copies::Copies, String> {
    if blobs.len() > pacmesh_protocol::wire::NOTES || !rooms.obtain(&blobs, &holders).await.is_empty() {
        return Err("what the notes name could not be fetched from the node that has it".to_owned());
    }
    let copies = copies::keep(rooms, blobs, holders).await;
    if copies.holders.is_empty() {
        return Err(
            "no storage in reach: start a machine with the role storage ('pacmesh nodes')".to_owned(),
        );
    }
    Ok(copies)
}
