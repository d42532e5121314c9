//! What the schedule wants: each output becomes a request to a worker or a record.

use super::*;

impl Leader {
    pub(super) async fn act(&mut self, output: Output) {
        match output {
            Output::AskInventory { worker } => self.ask_inventory(worker),
            Output::Probe {
                job,
                tree,
                arch,
                environment,
                ..
            } => {
                if let Some(probe) = self.probes.get(&(tree, arch.clone())) {
                    let result = Ok(Box::new(probe.clone()));
                    self.pending.push_back(Input::Probed { job, result });
                    return;
                }
                let (rooms, reign) = (self.rooms.clone(), self.reign);
                self.tasks.spawn(async move {
                    let probed = submit::probe_one(&rooms, reign, tree, &arch, &environment).await;
                    let result = probed.map(Box::new).map_err(ProbeError::Worker);
                    Event::Input(Input::Probed { job, result })
                });
            }
            Output::Order { worker, order } => {
                let (job, fence) = (order.job, order.fence);
                let request = Request::Order { order };
                self.order(worker, job, fence, request, Some(self.repair.clone()));
            }
            Output::Adopt {
                worker,
                job,
                old,
                new,
            } => {
                self.order(worker, job, new, Request::Adopt { job, old, new }, None);
            }
            Output::Cancel { worker, job, fence } => {
                if let Some(reply) = self.prepared.remove(&(job, fence)) {
                    answer(
                        reply,
                        Reply::Refused {
                            reason: "the attempt is no longer wanted".to_owned(),
                        },
                    );
                }
                let rooms = self.rooms.clone();
                self.tasks.spawn(async move {
                    let _ = rooms
                        .ask(worker, Request::Cancel { job, fence }, ORDER_WAIT)
                        .await;
                    Event::Nothing
                });
            }
            Output::AnswerPrepared {
                job,
                fence,
                version,
                packages,
                ..
            } => {
                self.answer_prepared(job, fence, &version, &packages);
            }
            Output::Verify {
                worker,
                report,
                probe,
            } => self.verify(worker, *report, *probe),
            Output::Publish {
                job,
                worker,
                attempts,
                report,
                probe: _,
            } => {
                self.publish(job, worker, attempts, &report).await;
            }
            Output::Fail {
                job,
                class,
                error,
                attempts,
                report,
            } => {
                let view = self.rooms.ledger.view();
                let Some(value) = view.job(&job) else { return };
                tracing::info!(job = %job.short(), base = %value.base, error, "job failed");
                let entries = publish::failure(job, value, class, &error, attempts, report.as_ref());
                if let Some((worker, log)) = report.and_then(|(worker, report)| Some((worker, report.log?))) {
                    self.keep_log(worker, log);
                }
                self.end(job, entries.map_err(|error| error.to_string()), None)
                    .await;
            }
            Output::CancelRecord { job } => {
                self.record_cancellation(job).await;
            }
            Output::AckReport { worker, job, fence } => {
                self.verified.remove(&(worker, job, fence));
                if let Some(reply) = self.reports.remove(&(worker, job, fence)) {
                    answer(reply, Reply::Done);
                }
            }
        }
    }

    /// The log of a failure is kept like any blob, but the failure does not wait for it.
    fn keep_log(&mut self, worker: NodeId, log: Digest) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            rooms.obtain(&[log], &[worker]).await;
            copies::keep(&rooms, vec![log], vec![worker]).await;
            Event::Nothing
        });
    }

    fn ask_inventory(&mut self, worker: NodeId) {
        let (rooms, reign) = (self.rooms.clone(), self.reign);
        self.tasks.spawn(async move {
            // Bounded: whoever stays silent is soon lost, and is asked again when it returns.
            for _ in 0..20 {
                let answer = rooms.ask(worker, Request::Inventory { reign }, ORDER_WAIT).await;
                if let Ok(Reply::Inventory(inventory)) = answer {
                    return Event::Input(Input::Inventory { worker, inventory });
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Event::Nothing
        });
    }

    /// New work goes after what can be repaired at once.
    fn order(
        &mut self,
        worker: NodeId,
        job: JobId,
        fence: Fence,
        request: Request,
        after: Option<RepairHandle>,
    ) {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            if let Some(repair) = after {
                repair.head_start().await;
            }
            let result = match rooms.ask(worker, request, ORDER_WAIT).await {
                Ok(Reply::Done) => Ok(clock::wall_ms()),
                Ok(Reply::Refused { reason }) => Err(reason),
                Ok(_) => Err("it answered something else".to_owned()),
                Err(error) => Err(error),
            };
            Event::Input(Input::Ordered {
                worker,
                job,
                fence,
                result,
            })
        });
    }

    fn answer_prepared(
        &mut self,
        job: JobId,
        fence: Fence,
        version: &PackageVersion,
        packages: &[(PackageName, Architecture)],
    ) {
        let Some(reply) = self.prepared.remove(&(job, fence)) else {
            return;
        };
        let view = self.rooms.ledger.view();
        let mixed = packages.iter().any(|(_, arch)| !arch.is_any());
        let free = free_pkgrel(version, packages, |name, version, arch| {
            // The `any` half of a mixed base may be bound by the other architecture's job already (FORMATS).
            let shared = mixed && arch.is_any() && is_bound_by_sibling(&view, job, name, version);
            view.binding(name, version, arch).is_some() && !shared
        });
        answer(
            reply,
            match free {
                Ok(version) => Reply::Build { version },
                Err(error) => Reply::Refused {
                    reason: error.to_string(),
                },
            },
        );
    }

    fn verify(&mut self, worker: NodeId, report: Report, probe: Probe) {
        let (job, fence) = (report.job, report.fence);
        let view = self.rooms.ledger.view();
        let Some(tree) = view.job(&job).map(|value| value.tree) else {
            return;
        };
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move {
            let result = verify::verify(&rooms, worker, &report, &probe, tree).await;
            Event::Verified {
                worker,
                job,
                fence,
                result,
            }
        });
    }

    async fn publish(&mut self, job: JobId, worker: NodeId, attempts: u32, report: &Report) {
        let view = self.rooms.ledger.view();
        let (Some(value), Some(verified)) = (
            view.job(&job),
            self.verified.get(&(worker, job, report.fence)).cloned(),
        ) else {
            self.pending.push_back(Input::RecordFailed { job });
            return;
        };
        let entries = publish::publication(&view, job, value, worker, attempts, report, &verified);
        if entries.is_ok() {
            tracing::info!(job = %job.short(), base = %value.base, worker = %self.rooms.name_of(&worker), "publishing");
        }
        self.end(
            job,
            entries.map_err(|error| error.to_string()),
            Some(verified.copies),
        )
        .await;
    }

    pub(super) async fn write_end(
        &mut self,
        entries: Result<Vec<Entry>, String>,
        request: Option<RequestId>,
    ) -> Result<Record, EndError> {
        let entries = entries.map_err(EndError::Unwritable)?;
        self.write(entries, request).await.map_err(|error| match error {
            LedgerError::Record(_) => EndError::Unwritable(chain(&error)),
            _ => EndError::NotNow(chain(&error)),
        })
    }

    /// The failure of a job whose end has no room for details.
    fn plain_failure(&self, job: JobId, error: &str) -> Result<Vec<Entry>, String> {
        let view = self.rooms.ledger.view();
        let value = view.job(&job).ok_or("the job is forgotten")?;
        publish::failure(job, value, FailureClass::Package, error, 0, None)
            .or_else(|_| publish::failure(job, value, FailureClass::Package, "", 0, None))
            .map_err(|error| error.to_string())
    }

    /// Writes the record that ends a job.
    async fn end(
        &mut self,
        job: JobId,
        entries: Result<Vec<Entry>, String>,
        holders: Option<copies::Copies>,
    ) {
        let written = match self.write_end(entries, None).await {
            // Tried again it would be no shorter, and every job ends (invariant 4).
            Err(EndError::Unwritable(error)) => {
                tracing::warn!(job = %job.short(), error, "the end of a job cannot be recorded: it fails");
                let plain = self.plain_failure(job, &error);
                self.write_end(plain, None).await
            }
            written => written,
        };
        self.ended(job, written, holders);
    }

    /// Tells the schedule when the copies of the record that ends a job are synced, or that there is none.
    pub(super) fn ended(
        &mut self,
        job: JobId,
        written: Result<Record, EndError>,
        holders: Option<copies::Copies>,
    ) {
        let rooms = self.rooms.clone();
        match written {
            Ok(record) => {
                let (copied, copying) = watch::channel(());
                self.copying.push(copying);
                self.tasks.spawn(async move {
                    // Closed when this ends, however it does.
                    let _copied = copied;
                    let holders = match holders {
                        Some(holders) => holders,
                        None => copies::keep(&rooms, Vec::new(), Vec::new()).await,
                    };
                    copies::replicate(&rooms, &record, &holders).await;
                    Event::Input(Input::Recorded { job })
                });
            }
            Err(EndError::Unwritable(error) | EndError::NotNow(error)) => {
                tracing::warn!(job = %job.short(), error, "the end of a job could not be recorded");
                self.tasks.spawn(async move {
                    tokio::time::sleep(WRITE_AGAIN).await;
                    Event::Input(Input::RecordFailed { job })
                });
            }
        }
    }
}

/// Why the end of a job was not recorded.
pub(super) enum EndError {
    /// No record can hold it.
    Unwritable(String),
    /// The ledger did not take it.
    NotNow(String),
}

/// Whether the name is bound by a published job of the same base and tree.
fn is_bound_by_sibling(view: &View, job: JobId, name: &PackageName, version: &PackageVersion) -> bool {
    let Some(own) = view.job(&job) else { return false };
    view.all_releases().any(|(key, release)| {
        key.name == *name
            && release.version == *version
            && release.job != job
            && view
                .job(&release.job)
                .is_some_and(|other| other.base == own.base && other.tree == own.tree)
    })
}
