//! `--quarantine SINCE`: a span before now, a day or a time.

use std::time::{Duration, UNIX_EPOCH};

use crate::clock;

/// Reads a moment of the past, in milliseconds since 1970.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    at(text.trim(), clock::wall_ms())
}

fn at(text: &str, now_ms: u64) -> Result<u64, String> {
    let moment = span(text)
        .map(|span| now_ms.saturating_sub(span.as_millis() as u64))
        .or_else(|| moment(text))
        .ok_or("expected a span (2h, 3d), a day (2026-11-25) or a time (2026-11-25T14:00:00Z, +01:00)")?;
    if moment > now_ms {
        return Err("this is in the future: name when the machine was last to be trusted".to_owned());
    }
    Ok(moment)
}

fn span(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// A day begins at midnight UTC; a time without an offset is UTC.
fn moment(text: &str) -> Option<u64> {
    let (text, offset) = split_offset(text)?;
    let text = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    let time = humantime::parse_rfc3339_weak(&text).ok()?;
    let ms = time.duration_since(UNIX_EPOCH).ok()?.as_millis();
    i64::try_from(ms).ok()?.checked_sub(offset)?.try_into().ok()
}

/// The offset of RFC 3339, in milliseconds; 0 where there is none.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    let Some(at) = text
        .len()
        .checked_sub(6)
        .filter(|at| *at > 10 && text.is_char_boundary(*at))
    else {
        return Some((text, 0));
    };
    let (time, offset) = text.split_at(at);
    let sign = match offset.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return Some((text, 0)),
    };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then(|| (time, sign * i64::from(hours * 60 + minutes) * 60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-25T14:00:00Z
    const NOW: u64 = 1_795_615_200_000;
    const HOUR: u64 = 3_600_000;

    #[test]
    fn spans_days_and_times_are_moments_of_the_past() {
        for (text, expected) in [
            ("2h", NOW - 2 * HOUR),
            ("3d", NOW - 72 * HOUR),
            ("1h 30m", NOW - HOUR * 3 / 2),
            ("2026-11-25", NOW - 14 * HOUR),
            ("2026-11-25T13:00:00Z", NOW - HOUR),
            ("2026-11-25 13:00:00", NOW - HOUR),
            ("2026-11-25T13:00:00+01:00", NOW - 2 * HOUR),
            ("2026-11-25T08:00:00-05:00", NOW - HOUR),
            ("1970-01-01", 0),
        ] {
            assert_eq!(at(text, NOW), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_or_lies_ahead_is_refused_in_words() {
        for text in [
            "",
            "soon",
            "5",
            "-2h",
            "2026-13-01",
            "2026-11-25T",
            "é2026-11-25T13:00",
            "13:00",
        ] {
            let error = at(text, NOW).unwrap_err();
            assert!(error.contains("2h, 3d"), "{text}: {error}");
        }
        assert!(at("2027-01-01", NOW).unwrap_err().contains("future"));
    }
}
