//! Values of the configuration file, read with their place.

use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong, and the bytes of the file that are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Range<usize>,
    pub(crate) words: String,
}

/// A value with its place.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a>(pub(crate) &'a Spanned<DeValue<'a>>);

impl<'a> Value<'a> {
    pub(crate) fn fault(self, words: impl Into<String>) -> Fault {
        Fault { at: self.0.span(), words: words.into() }
    }

    fn wants(self, wanted: &str) -> Fault {
        let article = if self.0.get_ref().is_integer() || self.0.get_ref().is_array() { "an" } else { "a" };
        self.fault(format!("this is {article} {}, {wanted} is wanted", self.0.get_ref().type_str()))
    }

    pub(crate) fn text(self) -> Result<&'a str, Fault> {
        self.0.get_ref().as_str().ok_or_else(|| self.wants("a string"))
    }

    /// A string that is not empty.
    pub(crate) fn name(self) -> Result<String, Fault> {
        match self.text()? {
            "" => Err(self.fault("it is empty")),
            name => Ok(name.to_owned()),
        }
    }

    pub(crate) fn flag(self) -> Result<bool, Fault> {
        self.0.get_ref().as_bool().ok_or_else(|| self.wants("true or false"))
    }

    /// A string that `T` can read.
    pub(crate) fn parse<T: FromStr<Err: ToString>>(self) -> Result<T, Fault> {
        self.text()?.parse().map_err(|error: T::Err| self.fault(error.to_string()))
    }

    /// A whole number in a range.
    pub(crate) fn number<T: TryFrom<u64> + Into<u64> + Copy>(self, range: RangeInclusive<T>) -> Result<T, Fault> {
        let (least, most): (u64, u64) = ((*range.start()).into(), (*range.end()).into());
        let Some(integer) = self.0.get_ref().as_integer() else { return Err(self.wants("a whole number")) };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number =
            number.filter(|number| (least..=most).contains(number)).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| self.fault(format!("{integer} is not between {least} and {most}")))
    }

    /// As [`Self::number`], for counts of things in memory.
    pub(crate) fn count(self, range: RangeInclusive<u32>) -> Result<usize, Fault> {
        Ok(self.number(range)? as usize)
    }

    /// A number with its unit, in a range.
    pub(crate) fn duration(self, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        let text = self.0.get_ref().as_str().ok_or_else(|| self.wants("a string such as \"30s\""))?;
        let duration = parse_duration(text).ok_or_else(|| {
            self.fault(format!("{text:?} is no duration; write \"500ms\", \"30s\", \"5m\", \"2h\" or \"1d\""))
        })?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        let (least, most) = (print_duration(*range.start()), print_duration(*range.end()));
        Err(self.fault(format!("{text} is not between {least} and {most}")))
    }

    pub(crate) fn is_list(self) -> bool {
        self.0.get_ref().is_array()
    }

    pub(crate) fn table(self) -> Result<&'a DeTable<'a>, Fault> {
        self.0.get_ref().as_table().ok_or_else(|| self.wants("a table"))
    }

    /// Every element of an array, in order.
    pub(crate) fn list<T>(self, element: impl Fn(Value<'a>) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let array = self.0.get_ref().as_array().ok_or_else(|| self.wants("an array"))?;
        array.iter().map(|value| element(Value(value))).collect()
    }

    /// As [`Self::list`], but not empty and nothing twice.
    pub(crate) fn choices<T: PartialEq>(
        self,
        element: impl Fn(Value<'a>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let choices = self.list(element)?;
        if choices.is_empty() {
            return Err(self.fault("the list is empty"));
        }
        let twice = (1..choices.len()).find(|&index| choices[..index].contains(&choices[index]));
        match twice.and_then(|index| self.0.get_ref().as_array()?.get(index)) {
            Some(value) => Err(Value(value).fault("this is in the list already")),
            None => Ok(choices),
        }
    }
}

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let milliseconds = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(milliseconds)?))
}

/// In the largest unit that needs no fraction.
fn print_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis() as u64;
    let unit = UNITS.iter().rev().find(|(_, length)| milliseconds.is_multiple_of(*length) && milliseconds >= *length);
    match unit {
        Some((name, length)) => format!("{}{name}", milliseconds / length),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, milliseconds) in [("0s", 0), ("500ms", 500), ("30s", 30_000), ("5 m", 300_000), ("1d", 86_400_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in ["", "30", "s", "-1s", "1.5s", "30 seconds", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        let printed =
            [0, 1500, 90_000, 7_200_000].map(|milliseconds| print_duration(Duration::from_millis(milliseconds)));
        assert_eq!(printed, ["0s", "1500ms", "90s", "2h"]);
    }
}
