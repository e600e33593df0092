//! Cron schedules in UTC: five fields, the usual names and macros, and `@every`. The dialect of robfig/cron v3's standard
//! parser, which upstream uses.

use crate::time;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// After so many whole seconds, at least one, again and again.
    Every(SignedDuration),
    /// Whenever minute, hour and day fit.
    Times(Times),
}

/// Bit sets of what matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
}

/// Set in a field that is a star without a step.
const STAR: u64 = 1 << 63;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Five years: past that a schedule such as the 31st of February has no next time.
const HORIZON: u32 = 5 * 366;

/// The time zone that a schedule names in itself, which is deprecated.
pub fn zone(text: &str) -> Option<&str> {
    after_zone_prefix(text)?.split(' ').next().filter(|zone| !zone.is_empty())
}

fn after_zone_prefix(text: &str) -> Option<&str> {
    text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ="))
}

impl Schedule {
    /// Reads a schedule; the error is upstream's text. The zone that it may name is looked at and does not count.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let mut rest = text;
        if let Some(named) = after_zone_prefix(text) {
            let Some((zone, fields)) = named.split_once(' ') else {
                return Err("invalid schedule format: runtime error: slice bounds out of range [:-1]".to_owned());
            };
            if !zone.is_empty() && !time::is_zone(zone) {
                return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
            }
            rest = fields.trim();
        }
        if rest.starts_with('@') {
            return Self::named(rest);
        }
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
        };
        let (minutes, hours) = (field(minutes, 0, 59, &[])?, field(hours, 0, 23, &[])?);
        let (days, months) = (field(days, 1, 31, &[])?, field(months, 1, 12, &MONTHS)?);
        let weekdays = field(weekdays, 0, 6, &WEEKDAYS)?;
        Ok(Self::Times(Times { minutes, hours, days, months, weekdays }))
    }

    fn named(text: &str) -> Result<Self, String> {
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => {
                let every = text.strip_prefix("@every ").ok_or_else(|| format!("unrecognized descriptor: {text}"))?;
                let span = time::parse_go_duration(every);
                let span = span.map_err(|error| format!("failed to parse duration {every}: {error}"))?;
                return Ok(Self::Every(SignedDuration::from_secs(span.as_secs().max(1))));
            }
        };
        Self::parse(fields)
    }

    /// The first time after `after`.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(every) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(*every).ok()
            }
            Self::Times(times) => times.next(after),
        }
    }

    /// The last time after `after` and not after `until`. Times that lie far back are skipped over at a pace of the schedule's own.
    pub fn last_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let mut last = self.next(after).filter(|time| *time <= until)?;
        if let Self::Every(every) = self {
            let steps = until.duration_since(last).as_secs() / every.as_secs().max(1);
            return last.checked_add(every.checked_mul(i32::try_from(steps).ok()?)?).ok();
        }
        // Look back from the end in growing windows rather than forward from a beginning that may be years ago.
        let mut window = SignedDuration::from_hours(1);
        while let Ok(from) = until.checked_sub(window) {
            if from <= last {
                break;
            }
            if let Some(found) = self.next(from).filter(|time| *time <= until) {
                last = found;
                break;
            }
            window = window.saturating_add(window);
        }
        while let Some(next) = self.next(last).filter(|time| *time <= until) {
            last = next;
        }
        Some(last)
    }
}

impl Times {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let start = Offset::UTC.to_datetime(after.checked_add(SignedDuration::from_mins(1)).ok()?);
        let mut date = start.date();
        let (mut hour, mut minute) = (start.hour(), start.minute());
        for _ in 0..HORIZON {
            if self.fits(date) {
                let first = (hour..24).filter(|hour| self.hours & (1 << hour) != 0).find_map(|at| {
                    let from = if at == hour { minute } else { 0 };
                    (from..60).find(|minute| self.minutes & (1 << minute) != 0).map(|minute| (at, minute))
                });
                if let Some((hour, minute)) = first {
                    return Offset::UTC.to_timestamp(date.at(hour, minute, 0, 0)).ok();
                }
            }
            date = date.tomorrow().ok()?;
            (hour, minute) = (0, 0);
        }
        None
    }

    fn fits(&self, date: Date) -> bool {
        let day = self.days & (1 << date.day()) != 0;
        let weekday = self.weekdays & (1 << date.weekday().to_sunday_zero_offset()) != 0;
        // A day must fit both its fields if one of them is a star, else one of them.
        let days = if (self.days | self.weekdays) & STAR != 0 { day && weekday } else { day || weekday };
        days && self.months & (1 << date.month()) != 0
    }
}

/// A list of `*`, `a`, `a-b`, each with an optional `/step`, as a bit set.
fn field(text: &str, low: u64, high: u64, names: &[&str]) -> Result<u64, String> {
    text.split(',').filter(|part| !part.is_empty()).try_fold(0, |bits, part| Ok(bits | range(part, low, high, names)?))
}

fn range(text: &str, low: u64, high: u64, names: &[&str]) -> Result<u64, String> {
    let named = |text: &str| {
        let at = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        at.map_or_else(|| number(text), |at| Ok(at as u64 + low))
    };
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let (first, mut last, mut star) = match ends.as_slice() {
        ["*" | "?", ..] => (low, high, STAR),
        [one] => (named(one)?, named(one)?, 0),
        [first, last] => (named(first)?, named(last)?, 0),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => number(step)?,
        _ => return Err(format!("too many slashes: {text}")),
    };
    if parts.len() == 2 && ends.len() == 1 {
        // `a/step` runs to the end.
        last = high;
    }
    if step > 1 {
        star = 0;
    }
    if first < low {
        return Err(format!("beginning of range ({first}) below minimum ({low}): {text}"));
    }
    if last > high {
        return Err(format!("end of range ({last}) above maximum ({high}): {text}"));
    }
    if first > last {
        return Err(format!("beginning of range ({first}) beyond end of range ({last}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok((first..=last).step_by(step).fold(star, |bits, value| bits | 1 << value))
}

/// Go's `strconv.Atoi`, and no number below zero.
fn number(text: &str) -> Result<u64, String> {
    let parsed = text.parse::<i64>().map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    });
    let parsed =
        parsed.map_err(|why| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}"))?;
    u64::try_from(parsed).map_err(|_| format!("negative number ({parsed}) not allowed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> Option<String> {
        Schedule::parse(schedule).ok()?.next(after.parse().unwrap()).map(|time| time.to_string())
    }

    /// Cases of robfig/cron's `spec_test.go`.
    #[test]
    fn next_times() {
        let cases = [
            ("0/15 * * * *", "2012-07-09T14:45:00Z", "2012-07-09T15:00:00Z"),
            ("20-35/15 * * * *", "2012-07-09T15:45:00Z", "2012-07-09T16:20:00Z"),
            ("*/15 * * * *", "2012-12-31T23:59:45Z", "2013-01-01T00:00:00Z"),
            ("0 0 29 feb ?", "2012-07-09T23:35:00Z", "2016-02-29T00:00:00Z"),
            ("0 0 * Feb mon", "2012-07-09T23:35:00Z", "2013-02-04T00:00:00Z"),
            ("0 0 */2 * fri", "2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z"),
            ("0 0 13 * fri", "2024-01-01T00:00:00Z", "2024-01-05T00:00:00Z"),
            ("@hourly", "2012-07-09T15:00:00Z", "2012-07-09T16:00:00Z"),
            ("@every 1h30m", "2012-07-09T15:00:00Z", "2012-07-09T16:30:00Z"),
        ];
        for (schedule, after, expected) in cases {
            assert_eq!(next(schedule, after).as_deref(), Some(expected), "{schedule} after {after}");
        }
        assert_eq!(next("0 0 30 2 *", "2012-07-09T15:00:00Z"), None);
    }

    #[test]
    fn what_is_no_schedule_is_refused_in_upstreams_words() {
        let cases = [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("* * * * *x", "failed to parse int from *x: strconv.Atoi: parsing \"*x\": invalid syntax"),
            ("@never", "unrecognized descriptor: @never"),
            ("@every x", "failed to parse duration x: time: invalid duration \"x\""),
            ("TZ=Nowhere 0 * * * *", "provided bad location Nowhere: unknown time zone Nowhere"),
        ];
        for (text, why) in cases {
            assert_eq!(Schedule::parse(text), Err(why.to_owned()));
        }
        for text in ["@every 0s", "CRON_TZ=Europe/Oslo 0 * * * *", ",1, * * * *"] {
            assert!(Schedule::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_last_due_time_is_found_however_far_back_the_beginning() {
        let last = |schedule: &str| {
            let schedule = Schedule::parse(schedule).unwrap();
            let (after, until) = ("2014-01-01T00:00:00Z".parse().unwrap(), "2024-01-01T00:07:00Z".parse().unwrap());
            schedule.last_between(after, until).map(|time| time.to_string())
        };
        assert_eq!(last("*/5 * * * *").as_deref(), Some("2024-01-01T00:05:00Z"));
        assert_eq!(last("0 0 1 7 *").as_deref(), Some("2023-07-01T00:00:00Z"));
        assert_eq!(last("@every 1h").as_deref(), Some("2024-01-01T00:00:00Z"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in ".*") {
            let _ = Schedule::parse(&text);
        }
    }
}
