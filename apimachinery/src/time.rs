//! Times as objects carry them, Go's durations, and the ages that tables show.
//!
//! Reads what Go's `time.Parse` reads with the layouts of `metav1.Time` and `metav1.MicroTime`; times print in UTC.

pub mod duration;
mod zone;

pub use duration::{format_go_duration, human_duration, parse_go_duration};
pub use zone::is_zone;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// A time that Go's parser would refuse; the text is Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parsing time {text:?}{detail}")]
pub struct TimeError {
    text: String,
    detail: String,
}

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// `2006-01-02T15:04:05Z`, fractions cut off: how `metav1.Time` is written.
pub fn format_time(time: Timestamp) -> String {
    format!("{}Z", civil(time))
}

/// `2006-01-02T15:04:05.000000Z`: how `metav1.MicroTime` is written.
pub fn format_micro_time(time: Timestamp) -> String {
    let micros = time.as_nanosecond().rem_euclid(1_000_000_000) / 1_000;
    format!("{}.{micros:06}Z", civil(time))
}

fn civil(time: Timestamp) -> String {
    let c = Offset::UTC.to_datetime(time);
    let (year, month, day) = (c.year(), c.month(), c.day());
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", c.hour(), c.minute(), c.second())
}

/// Reads RFC 3339 as `metav1.Time` does: fractions of a second are allowed, offsets too.
pub fn parse_time(text: &str) -> Result<Timestamp, TimeError> {
    Reader { rest: text, text, layout: SECONDS }.read(false)
}

/// Reads RFC 3339 as `metav1.MicroTime` does: with six digits of fraction.
pub fn parse_micro_time(text: &str) -> Result<Timestamp, TimeError> {
    Reader { rest: text, text, layout: MICROS }.read(true)
}

struct Reader<'a> {
    rest: &'a str,
    text: &'a str,
    layout: &'static str,
}

impl Reader<'_> {
    fn error(&self, detail: String) -> TimeError {
        TimeError { text: self.text.to_owned(), detail }
    }

    fn cannot(&self, element: &str) -> TimeError {
        self.error(format!(" as {:?}: cannot parse {:?} as {element:?}", self.layout, self.rest))
    }

    fn number(&mut self, digits: usize, element: &str) -> Result<u32, TimeError> {
        let head = self.rest.get(..digits).filter(|h| h.bytes().all(|b| b.is_ascii_digit()));
        let number = head.and_then(|h| h.parse().ok()).ok_or_else(|| self.cannot(element))?;
        self.rest = &self.rest[digits..];
        Ok(number)
    }

    fn ranged(&mut self, element: &str, name: &str, range: std::ops::RangeInclusive<u32>) -> Result<i8, TimeError> {
        let number = self.number(2, element)?;
        if !range.contains(&number) {
            return Err(self.error(format!(": {name} out of range")));
        }
        Ok(number as i8)
    }

    fn literal(&mut self, expected: &str) -> Result<(), TimeError> {
        self.rest = self.rest.strip_prefix(expected).ok_or_else(|| self.cannot(expected))?;
        Ok(())
    }

    fn read(mut self, six_digits: bool) -> Result<Timestamp, TimeError> {
        let year = self.number(4, "2006")? as i16;
        self.literal("-")?;
        let month = self.ranged("01", "month", 1..=12)?;
        self.literal("-")?;
        // Go looks at the day against its month at the end, at everything else where it stands.
        let day = self.number(2, "02")?;
        self.literal("T")?;
        let hour = self.ranged("15", "hour", 0..=23)?;
        self.literal(":")?;
        let minute = self.ranged("04", "minute", 0..=59)?;
        self.literal(":")?;
        let second = self.ranged("05", "second", 0..=59)?;
        let nanos = self.fraction(six_digits)?;
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            return Err(self.error(format!(": extra text: {:?}", self.rest)));
        }
        let day = i8::try_from(day).unwrap_or(0);
        let local = DateTime::new(year, month, day, hour, minute, second, nanos);
        let local = local.map_err(|_| self.error(": day out of range".into()))?;
        let utc = Offset::UTC.to_timestamp(local).map_err(|_| self.error(": year out of range".into()))?;
        Timestamp::from_nanosecond(utc.as_nanosecond() - i128::from(offset) * 1_000_000_000)
            .map_err(|_| self.error(": year out of range".into()))
    }

    fn fraction(&mut self, six_digits: bool) -> Result<i32, TimeError> {
        let digits = match self.rest.strip_prefix(['.', ',']) {
            Some(after) => after.bytes().take_while(u8::is_ascii_digit).count(),
            None => 0,
        };
        if six_digits && digits < 6 {
            return Err(self.cannot(".000000"));
        }
        if digits == 0 {
            return Ok(0);
        }
        // MicroTime's layout takes exactly six digits; more are left over and fail as a time zone.
        let taken = if six_digits { 6 } else { digits };
        let fraction = &self.rest[1..=taken];
        self.rest = &self.rest[1 + taken..];
        Ok(fraction.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |n, b| n * 10 + i32::from(b - b'0')))
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Result<i32, TimeError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let bytes = self.rest.as_bytes();
        let shaped = bytes.len() >= 6
            && matches!(bytes[0], b'+' | b'-')
            && bytes[3] == b':'
            && [1, 2, 4, 5].iter().all(|i| bytes[*i].is_ascii_digit());
        if !shaped {
            return Err(self.cannot("Z07:00"));
        }
        let two = |at: usize| i32::from(bytes[at] - b'0') * 10 + i32::from(bytes[at + 1] - b'0');
        let (hours, minutes) = (two(1), two(4));
        if hours > 24 || minutes > 60 {
            let what = if hours > 24 { "time zone offset hour" } else { "time zone offset minute" };
            return Err(self.error(format!(": {what} out of range")));
        }
        let seconds = hours * 3600 + minutes * 60;
        let seconds = if bytes[0] == b'-' { -seconds } else { seconds };
        self.rest = &self.rest[6..];
        Ok(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_in_any_zone_and_written_in_utc() {
        let cases = [
            ("1998-05-05T05:05:05Z", "1998-05-05T05:05:05Z"),
            ("1998-05-05T05:05:05.999999999Z", "1998-05-05T05:05:05Z"),
            ("1998-05-05T05:05:05+02:30", "1998-05-05T02:35:05Z"),
            ("1998-12-31T23:59:59-00:01", "1999-01-01T00:00:59Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ];
        for (text, printed) in cases {
            assert_eq!(parse_time(text).map(format_time).as_deref(), Ok(printed), "{text}");
        }
        let micro = "2020-01-02T03:04:05.000007Z";
        assert_eq!(parse_micro_time(micro).map(format_micro_time).as_deref(), Ok(micro));
    }

    #[test]
    fn bad_times_are_refused_with_gos_texts() {
        let cases = [
            ("", r#"parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#),
            ("2020-13-01T00:00:00Z", r#"parsing time "2020-13-01T00:00:00Z": month out of range"#),
            ("2023-02-29T00:00:00Z", r#"parsing time "2023-02-29T00:00:00Z": day out of range"#),
            (
                "2020-01-01 00:00:00Z",
                r#"parsing time "2020-01-01 00:00:00Z" as "2006-01-02T15:04:05Z07:00": cannot parse " 00:00:00Z" as "T""#,
            ),
            (
                "2020-01-01T00:00:00",
                r#"parsing time "2020-01-01T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
            ),
            ("2020-01-01T00:00:00Zx", r#"parsing time "2020-01-01T00:00:00Zx": extra text: "x""#),
        ];
        for (text, error) in cases {
            assert_eq!(parse_time(text).map_err(|e| e.to_string()), Err(error.to_owned()));
        }
        assert_eq!(
            parse_micro_time("2020-01-02T03:04:05Z").map_err(|e| e.to_string()),
            Err(r#"parsing time "2020-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#.to_owned())
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9TZ:.+é-]{0,40}") {
            let _ = parse_time(&text);
            let _ = parse_micro_time(&text);
        }

        #[test]
        fn written_times_are_read_back(micros in -62_135_596_800_000_000i64..253_402_207_200_000_000) {
            let time = Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(parse_micro_time(&format_micro_time(time)), Ok(time));
        }
    }
}
