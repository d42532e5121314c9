//! Days, and the horizon behind which the leading master forgets them (FORMATS, "Exchange and retention").

use pacmesh_protocol::ledger::view::View;

use crate::settings::Settings;

const DAY_MS: u64 = 86_400_000;

/// Days since the founding at `now_ms`, by this clock.
fn day_at(view: &View, now_ms: u64) -> u32 {
    let founded = view.founder().map_or(now_ms, |founder| founder.admitted_ms);
    u32::try_from(now_ms.saturating_sub(founded) / DAY_MS).unwrap_or(u32::MAX)
}

/// The day of a job that is accepted at `now_ms`. Never before the horizon, whatever the clocks say: it would be dropped on
/// sight.
pub(super) fn day_of_acceptance(view: &View, now_ms: u64) -> u32 {
    day_at(view, now_ms).max(view.horizon())
}

/// The day to which the horizon is to rise at `now_ms`, if it is to.
pub(super) fn due(view: &View, now_ms: u64) -> Option<u32> {
    let wished = day_at(view, now_ms).saturating_sub(Settings(view).horizon_days());
    view.horizon_up_to(wished)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pacmesh_protocol::ledger::{
        horizon,
        kinds::{SettingV1, Value},
        record::{Entry, ReignId},
    };
    use pacmesh_signing::{Ed25519Verifier, test_keys};

    use super::*;
    use crate::{ledger::LedgerHandle, settings::HORIZON_DAYS};

    async fn write(ledger: &LedgerHandle, entry: Entry) {
        let reign = ReignId {
            term: 1,
            node: test_keys::node(1).id(),
            incarnation: ledger.incarnation(),
        };
        ledger.append(vec![entry], reign, None).await.unwrap();
    }

    #[tokio::test]
    async fn days_count_from_the_founding_and_jobs_are_remembered_as_long_as_the_setting_says() {
        let folder = tempfile::tempdir().unwrap();
        let mesh = test_keys::authority(1).mesh();
        let key = Arc::new(test_keys::node(1));
        let ledger = LedgerHandle::open(&folder.path().join("1"), mesh, key, Arc::new(Ed25519Verifier))
            .await
            .unwrap();
        ledger.merge(test_keys::founder(1, 1).links).await.unwrap();
        let founded = ledger.view().founder().unwrap().admitted_ms;
        let on = |day: u64| founded + day * DAY_MS + 1;

        assert_eq!(due(&ledger.view(), on(180)), None);
        assert_eq!(due(&ledger.view(), on(200)), Some(20));
        let setting = SettingV1 {
            version: 1,
            value: "5".to_owned(),
        };
        write(&ledger, setting.entry(&HORIZON_DAYS.to_owned()).unwrap()).await;
        assert_eq!(due(&ledger.view(), on(200)), Some(195));

        write(&ledger, horizon::raise(195).unwrap()).await;
        assert_eq!(due(&ledger.view(), on(200)), None);
        assert_eq!(day_of_acceptance(&ledger.view(), on(200)), 200);
        // A clock that went back makes no job that falls on sight.
        assert_eq!(day_of_acceptance(&ledger.view(), on(3)), 195);
    }
}
