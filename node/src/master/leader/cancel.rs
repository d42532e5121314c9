//! Jobs that are stopped by request: the answer comes from the record that says so, or says why there is none.

use super::{acts::EndError, *};

/// Somebody who waits for the record that cancels a job.
pub(super) struct Waiting {
    request: RequestId,
    job: AcceptedJob,
    reply: oneshot::Sender<CarriedReply>,
}

impl Leader {
    /// Stops a job, unless another end of it is on its way already.
    pub(super) async fn cancel(
        &mut self,
        id: JobId,
        request: RequestId,
        reply: oneshot::Sender<CarriedReply>,
    ) {
        // What waits to be told to the schedule may end the job.
        self.tell_view().await;
        self.drain().await;
        let job = match changes::cancellable(&self.rooms.ledger.view(), id) {
            Ok(job) => job,
            Err(reason) => return answer(reply, CarriedReply::Refused { reason }),
        };
        if let Some(ending) = self.schedule.ending(id) {
            let reason = format!("{} is {ending} already: see 'pacmesh jobs'", job.base);
            return answer(reply, CarriedReply::Refused { reason });
        }
        self.cancelling
            .entry(id)
            .or_default()
            .push(Waiting { request, job, reply });
        self.pending.push_back(Input::Cancel { job: id });
        self.drain().await;
        self.refuse_cancellation(id, "the master does not know the job yet: ask again");
    }

    /// Writes the record that cancels a job, for whoever waits for it.
    pub(super) async fn record_cancellation(&mut self, id: JobId) {
        let view = self.rooms.ledger.view();
        let Some(value) = view.job(&id) else { return };
        let entries = publish::cancellation(id, value).map_err(|error| error.to_string());
        let request = self
            .cancelling
            .get(&id)
            .and_then(|waiting| waiting.first())
            .map(|waiting| waiting.request);
        let written = self.write_end(entries, request).await;
        match &written {
            Ok(record) => {
                for Waiting { job, reply, .. } in self.cancelling.remove(&id).unwrap_or_default() {
                    self.answer_when_copied(record.clone(), vec![job], None, reply);
                }
            }
            Err(EndError::Unwritable(error) | EndError::NotNow(error)) => {
                let reason = format!("its cancellation could not be recorded, which is tried again: {error}");
                self.refuse_cancellation(id, &reason);
            }
        }
        self.ended(id, written, None);
    }

    fn refuse_cancellation(&mut self, id: JobId, reason: &str) {
        for Waiting { job, reply, .. } in self.cancelling.remove(&id).unwrap_or_default() {
            let reason = format!("{}: {reason}", job.base);
            answer(reply, CarriedReply::Refused { reason });
        }
    }
}
