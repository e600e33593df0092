//! Cron schedules in UTC: five fields, the usual names and macros, and `@every`. The dialect of robfig/cron v3's standard
//! parser, which upstream uses.

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    Every(SignedDuration),
    Times(Times),
}

/// Bit sets of what matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Times {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// A day must fit both its fields if one of them is a star, else one of them.
    both_day_fields: bool,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Five years: past that a schedule such as the 31st of February has no next time.
const HORIZON: u32 = 5 * 366;

impl Schedule {
    /// `None` for what is no schedule.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // A zone in the schedule itself is deprecated and only as good as UTC here.
        let text = text.strip_prefix("TZ=UTC ").or_else(|| text.strip_prefix("CRON_TZ=UTC ")).unwrap_or(text).trim();
        if let Some(every) = text.strip_prefix("@every ") {
            let every = duration(every.trim())?;
            return Some(Self::Every(every.max(SignedDuration::from_secs(1))));
        }
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let star = |field: &str| field.split(',').any(|part| part.starts_with(['*', '?']));
        Some(Self::Times(Times {
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: field(weekdays, 0, 6, &WEEKDAYS)?,
            both_day_fields: star(days) || star(weekdays),
        }))
    }

    /// The first time after `after`.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(every) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(*every).ok()
            }
            Self::Times(times) => times.next(after),
        }
    }

    /// The last time after `after` and not after `until`. Times that lie far back are skipped over at a pace of the schedule's own.
    pub(super) fn last_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
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
        let days = if self.both_day_fields { day && weekday } else { day || weekday };
        days && self.months & (1 << date.month()) != 0
    }
}

/// A list of `*`, `a`, `a-b`, each with an optional `/step`, as a bit set.
fn field(text: &str, low: u32, high: u32, names: &[&str]) -> Option<u64> {
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text)).map(|at| at as u32 + low);
        named.or_else(|| text.parse().ok()).filter(|number| (low..=high).contains(number))
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (low, high),
            Some((first, last)) => (number(first)?, number(last)?),
            // `a/step` runs to the end.
            None => (number(range)?, if step.is_some() { high } else { number(range)? }),
        };
        if first > last {
            return None;
        }
        for value in (first..=last).step_by(step.unwrap_or(1) as usize) {
            bits |= 1 << value;
        }
    }
    Some(bits)
}

/// Go's durations in whole units: `1h30m`, `90s`.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut total = SignedDuration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        total = total.checked_add(SignedDuration::from_secs(number.checked_mul(seconds)?))?;
        rest = &rest[unit..];
    }
    (total > SignedDuration::ZERO).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> Option<String> {
        Schedule::parse(schedule)?.next(after.parse().unwrap()).map(|time| time.to_string())
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
    fn what_is_no_schedule_is_refused() {
        for text in
            ["", "* * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "* * * * 7", "@never", "@every x", "@every 0s"]
        {
            assert_eq!(Schedule::parse(text), None, "{text}");
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
