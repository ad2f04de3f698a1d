//! Date (RFC 3261 §20.17): RFC 1123's form, in GMT only.

use std::fmt;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment in seconds since 1970-01-01 00:00:00 GMT.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Date(pub u64);

impl Date {
    /// Reads `Sat, 13 Nov 2010 23:29:00 GMT`. The name of the day is not checked against the date.
    pub fn parse(text: &str) -> Option<Self> {
        let (day_name, rest) = text.split_once(", ")?;
        DAYS.iter().find(|name| name.eq_ignore_ascii_case(day_name))?;
        let fields: Vec<_> = rest.split(' ').collect();
        let &[day, month, year, time, zone] = fields.as_slice() else { return None };
        if !zone.eq_ignore_ascii_case("GMT") {
            return None;
        }
        let number = |text: &str, length| super::digits(text).filter(|text| text.len() == length)?.parse::<u64>().ok();
        let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? as u64 + 1;
        let (day, year) = (number(day, 2)?, number(year, 4)?);
        let time: Vec<_> = time.split(':').map(|part| number(part, 2)).collect::<Option<_>>()?;
        let &[hour, minute, second] = time.as_slice() else { return None };
        // Second 60 is a leap second.
        let valid = (1..=31).contains(&day) && year >= 1970 && hour < 24 && minute < 60 && second <= 60;
        valid.then(|| Self(days_to(year, month, day) * 86400 + hour * 3600 + minute * 60 + second))
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; March counts as the first month so that the leap day is the last.
fn days_to(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    365 * year + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + day - 1 - 719_468
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0 / 86400;
        let mut year = 1970 + days / 366;
        while days_to(year + 1, 1, 1) <= days {
            year += 1;
        }
        let month = (1..=12).rev().find(|&month| days_to(year, month, 1) <= days).unwrap_or(1);
        let day = days - days_to(year, month, 1) + 1;
        let name =
            |names: &[&'static str], index: u64| names.get(usize::try_from(index).unwrap_or(0)).copied().unwrap_or("");
        let (hour, minute, second) = (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        let (day_name, month) = (name(&DAYS, days % 7), name(&MONTHS, month - 1));
        write!(f, "{day_name}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds by `date -u -d … +%s`.
    #[test]
    fn dates_become_seconds_and_back() {
        for (text, seconds) in [
            ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 12:00:01 GMT", 1_709_208_001),
            ("Sun, 31 Dec 2000 23:59:59 GMT", 978_307_199),
            ("Thu, 21 Feb 2002 13:02:03 GMT", 1_014_296_523),
        ] {
            assert_eq!(Date::parse(text), Some(Date(seconds)), "{text}");
            assert_eq!(Date(seconds).to_string(), text);
        }
        assert_eq!(Date::parse("Fri, 01 Jan 2010 16:00:00 EST"), None);
    }
}
