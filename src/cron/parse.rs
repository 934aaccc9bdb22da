//! From text to pattern. Every refusal says where it is and what would be right.

use jiff::tz::TimeZone;

use super::pattern::{DaysOfMonth, DaysOfWeek, EVERY_OCCURRENCE, Pattern, Progression, every_bit};
use super::{ExpressionError, Kind, WallClock, Weekdays, interval};

const CHARACTERS_MAX: usize = 256;
const STEP_MAX: u64 = i64::MAX as u64;
const SATURDAY: usize = 6;

const DESCRIPTORS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * SUN"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// What numbers and names a field takes.
struct Field {
    name: &'static str,
    /// Its place in the expression, from 1.
    number: usize,
    first: u64,
    /// Where `*` and `a/n` end.
    last: u64,
    /// The highest number that may be written.
    highest: u64,
    /// Names of the numbers from `first` on.
    names: &'static [&'static str],
    /// What else it takes beside numbers, names, and ranges, steps and lists of these.
    specials: &'static str,
    /// What it takes when that is no more than one number.
    only: Option<&'static str>,
}

impl Field {
    const fn numbers(number: usize, name: &'static str, first: u64, last: u64) -> Self {
        Self { name, number, first, last, highest: last, names: &[], specials: "", only: None }
    }

    /// All that may stand in it, for people.
    fn grammar(&self) -> String {
        if let Some(only) = self.only {
            return only.to_owned();
        }
        let (first, last, highest) = (self.first, self.last, self.highest);
        let names = match self.names {
            [one, .., other] => format!(" (or {one} to {other})"),
            _ => String::new(),
        };
        let specials = self.specials;
        format!(
            "numbers from {first} to {highest}{names}, * for all, a range like {first}-{last}, a step like */2, \
             or a list of these like {first},{last}{specials}"
        )
    }
}

const MINUTE: Field = Field::numbers(1, "minute", 0, 59);
const HOUR: Field = Field::numbers(2, "hour", 0, 23);
const DAY_OF_MONTH: Field = Field {
    specials: "; also L for the last day, L-3, LW, and 15W for the weekday nearest to the 15th",
    ..Field::numbers(3, "day of month", 1, 31)
};
const MONTH: Field = Field {
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    ..Field::numbers(4, "month", 1, 12)
};
const WEEKDAY_NAMES: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const UNIX_WEEKDAY: Field = Field {
    highest: 7,
    names: WEEKDAY_NAMES,
    specials: "; 0 and 7 are Sunday; also FRIL for the last Friday and FRI#2 for the second",
    ..Field::numbers(5, "day of week", 0, 6)
};
const QUARTZ_WEEKDAY: Field = Field {
    names: WEEKDAY_NAMES,
    specials: "; 1 is Sunday; also FRIL for the last Friday and FRI#2 for the second",
    ..Field::numbers(5, "day of week", 1, 7)
};
const YEAR: Field = Field::numbers(6, "year", 1970, 2099);
const EVERY_DAY: u64 = every_bit(1, 31);
/// `L-30` is the first day of a long month.
const BEFORE_LAST: Field =
    Field { only: Some("a whole number from 0 to 30 behind L-"), ..Field::numbers(3, "day of month", 0, 30) };
/// The number after `#`.
const OCCURRENCE: Field =
    Field { only: Some("a whole number from 1 to 5 behind #"), ..Field::numbers(5, "day of week", 1, 5) };

const FIELDS: &str = "minute, hour, day of month, month, day of week and perhaps a year, with blanks in between, \
                      as in 0 9 * * 1-5; or one like @daily or @every 1h30m";

pub(super) fn expression(text: &str, weekdays: Weekdays) -> Result<Kind, ExpressionError> {
    let whole = Part { text, position: 0 };
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        let expected = format!("at most {CHARACTERS_MAX} characters");
        let beyond = Part { text: "", position: CHARACTERS_MAX };
        return Err(beyond.refuse("expression", "the expression is too long", expected));
    }
    let words = whole.words();
    let (zone, words) = split_zone(&words)?;
    match words {
        [every, duration] if every.text.eq_ignore_ascii_case("@every") => {
            match interval::parse(duration.text) {
                Some(seconds) => Ok(Kind::Interval(seconds)),
                None => Err(duration.refuse(
                    "interval",
                    format!("{:?} is no duration", duration.text),
                    "numbers with the units h, m, s, ms, us or ns, as in 1h30m or 90s",
                )),
            }
        }
        [descriptor, ..] if descriptor.text.starts_with('@') => {
            let known = DESCRIPTORS.iter().find(|(name, _)| name.eq_ignore_ascii_case(descriptor.text));
            let (Some((_, fields)), [_]) = (known, words) else {
                let names = DESCRIPTORS.map(|(name, _)| name).join(", ");
                // What follows a known one is the fault of what follows, but for @every, which needs one more word.
                let (at, message) = match (known, words) {
                    (Some(_), [_, surplus, ..]) => (surplus, "nothing may follow here".to_owned()),
                    _ if descriptor.text.eq_ignore_ascii_case("@every") => {
                        (words.get(2).unwrap_or(descriptor), "@every takes one duration".to_owned())
                    }
                    _ => (descriptor, format!("{:?} is not known", descriptor.text)),
                };
                let expected = format!("one of {names} alone, or @every and one duration like 1h30m");
                return Err(at.refuse("expression", message, expected));
            };
            let fields = Part { text: fields, position: descriptor.position };
            Ok(wall_clock(pattern(&fields.words(), weekdays)?, zone))
        }
        fields => Ok(wall_clock(pattern(fields, weekdays)?, zone)),
    }
}

fn wall_clock(pattern: Pattern, zone: TimeZone) -> Kind {
    Kind::WallClock(Box::new(WallClock::new(pattern, zone)))
}

/// The zone, UTC without a prefix, and the words after it.
fn split_zone<'a, 'b>(words: &'a [Part<'b>]) -> Result<(TimeZone, &'a [Part<'b>]), ExpressionError> {
    let Some((first, rest)) = words.split_first() else { return Ok((TimeZone::UTC, words)) };
    let Some((_, name)) = first.split_once('=').filter(|(key, _)| matches!(key.text, "TZ" | "CRON_TZ"))
    else {
        return Ok((TimeZone::UTC, words));
    };
    // `jiff` takes a name in any case, and a name of its own for a zone that is not known.
    match TimeZone::get(name.text) {
        Ok(zone) if zone.iana_name() == Some(name.text) => Ok((zone, rest)),
        _ => Err(name.refuse(
            "zone",
            format!("{:?} is no time zone", name.text),
            "a name of the IANA time zone database, in its upper and lower case, like Europe/Berlin",
        )),
    }
}

fn pattern(words: &[Part<'_>], weekdays: Weekdays) -> Result<Pattern, ExpressionError> {
    let ([minute, hour, day_of_month, month, day_of_week]
    | [minute, hour, day_of_month, month, day_of_week, _]) = words
    else {
        let message = match words.len() {
            0 => "there are no fields".to_owned(),
            1 => "there is one field".to_owned(),
            count => format!("there are {count} fields"),
        };
        // Either what is too much, or the place at which something is missing.
        let at = words.get(6).copied().unwrap_or_else(|| words.last().map_or(Part::START, |last| last.end()));
        return Err(at.refuse("expression", message, FIELDS));
    };
    Ok(Pattern {
        minutes: bits(minute, &MINUTE)?,
        hours: bits(hour, &HOUR)?,
        days_of_month: days_of_month(day_of_month)?,
        months: bits(month, &MONTH)?,
        days_of_week: days_of_week(day_of_week, weekdays)?,
        years: words.get(5).map_or(Ok(None), years)?,
    })
}

fn bits(list: &Part<'_>, field: &Field) -> Result<u64, ExpressionError> {
    list.items().try_fold(0, |set, item| {
        let values =
            values(&item, field)?.unwrap_or(Progression { first: field.first, last: field.last, step: 1 });
        Ok(set | bits_of(values))
    })
}

fn days_of_month(list: &Part<'_>) -> Result<DaysOfMonth, ExpressionError> {
    let mut days = DaysOfMonth { restricted: true, ..DaysOfMonth::default() };
    for item in list.items() {
        match item.text.to_ascii_uppercase().as_str() {
            "L" => days.before_last |= 1,
            "LW" => days.last_workday = true,
            upper => {
                if let Some((_, before_last)) = item.split_once('-').filter(|_| upper.starts_with("L-")) {
                    days.before_last |= 1 << number(&before_last, &BEFORE_LAST)?;
                } else if let Some(day) = item.strip_suffix('W') {
                    days.nearest_workday |= 1 << number(&day, &DAY_OF_MONTH)?;
                } else if let Some(values) = values(&item, &DAY_OF_MONTH)? {
                    days.listed |= bits_of(values);
                } else {
                    days.restricted = false;
                }
            }
        }
    }
    if days.restricted { Ok(days) } else { Ok(DaysOfMonth { listed: EVERY_DAY, ..DaysOfMonth::default() }) }
}

fn days_of_week(list: &Part<'_>, weekdays: Weekdays) -> Result<DaysOfWeek, ExpressionError> {
    let field = match weekdays {
        Weekdays::Unix => &UNIX_WEEKDAY,
        Weekdays::Quartz => &QUARTZ_WEEKDAY,
    };
    // From Sunday = 0; the 7 that is Sunday as well comes around to 0.
    let weekday = |number: u64| ((number - field.first) % 7) as usize;
    let mut days = DaysOfWeek { restricted: true, ..DaysOfWeek::default() };
    for item in list.items() {
        if item.text.eq_ignore_ascii_case("L") {
            days.occurrences[SATURDAY] = EVERY_OCCURRENCE;
        } else if let Some(day) = item.strip_suffix('L') {
            days.last |= 1 << weekday(number(&day, field)?);
        } else if let Some((day, occurrence)) = item.split_once('#') {
            let day = weekday(number(&day, field)?);
            days.occurrences[day] |= 1 << (number(&occurrence, &OCCURRENCE)? - OCCURRENCE.first);
        } else if let Some(values) = values(&item, field)? {
            for value in values.values() {
                days.occurrences[weekday(value)] = EVERY_OCCURRENCE;
            }
        } else {
            days.restricted = false;
        }
    }
    if days.restricted {
        Ok(days)
    } else {
        Ok(DaysOfWeek { occurrences: [EVERY_OCCURRENCE; 7], ..DaysOfWeek::default() })
    }
}

/// `None`: all years without end.
fn years(list: &Part<'_>) -> Result<Option<Vec<Progression>>, ExpressionError> {
    let years: Result<Vec<_>, _> = list.items().map(|item| values(&item, &YEAR)).collect();
    Ok(years?.into_iter().collect())
}

/// The values of one item of a list. `None`: all of them, which is no restriction; `*/1` is, but `0-59` is not.
fn values(item: &Part<'_>, field: &Field) -> Result<Option<Progression>, ExpressionError> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(self::step(&step, field)?)),
        None => (*item, None),
    };
    let (first, last) = if matches!(range.text, "*" | "?") {
        if step.is_none_or(|step| step == 1) {
            return Ok(None);
        }
        (field.first, field.last)
    } else if let Some((first, last)) = range.split_once('-') {
        (number(&first, field)?, number(&last, field)?)
    } else {
        match (number(&range, field)?, step) {
            (only, None) => (only, only),
            // The 7 that is Sunday begins where the 0 does.
            (first, Some(_)) if field.last < first => (field.first, field.last),
            (first, Some(_)) => (first, field.last),
        }
    };
    if last < first {
        return Err(range.refuse_in(
            field,
            format!("the range {} is reversed", range.text),
            "a range from the lower to the higher",
        ));
    }
    Ok(Some(Progression { first, last, step: step.unwrap_or(1) }))
}

/// A number of the field, or a name of one.
fn number(part: &Part<'_>, field: &Field) -> Result<u64, ExpressionError> {
    let name = (field.first..).zip(field.names).find(|(_, name)| name.eq_ignore_ascii_case(part.text));
    if let Some((number, _)) = name {
        return Ok(number);
    }
    let Some(number) = part.digits() else {
        let message = match part.text {
            "" => "a number is missing".to_owned(),
            text => {
                format!("{text:?} is not a number{}", if field.names.is_empty() { "" } else { " or a name" })
            }
        };
        return Err(part.refuse_in(field, message, field.grammar()));
    };
    if number < field.first {
        return Err(part.refuse_in(
            field,
            format!("{} is below {}", part.text, field.first),
            field.grammar(),
        ));
    }
    if field.highest < number {
        return Err(part.refuse_in(
            field,
            format!("{} is beyond {}", part.text, field.highest),
            field.grammar(),
        ));
    }
    Ok(number)
}

/// As large as a signed number may be, since robfig/cron takes a step beyond the end of the field.
fn step(part: &Part<'_>, field: &Field) -> Result<u64, ExpressionError> {
    match part.digits() {
        Some(step @ 1..=STEP_MAX) => Ok(step),
        _ => Err(part.refuse_in(
            field,
            format!("{:?} is not a step", part.text),
            "a whole number of at least 1 behind the /",
        )),
    }
}

fn bits_of(values: Progression) -> u64 {
    values.values().fold(0, |set, value| set | 1 << value)
}

/// A piece of the expression that knows where it is.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    /// In characters of the whole expression.
    position: usize,
}

impl<'a> Part<'a> {
    const START: Self = Self { text: "", position: 0 };

    fn words(self) -> Vec<Self> {
        self.split(char::is_whitespace).filter(|word| !word.text.is_empty()).collect()
    }

    fn items(self) -> impl Iterator<Item = Self> {
        self.split(|separator| separator == ',')
    }

    fn split(self, is_separator: impl Fn(char) -> bool) -> impl Iterator<Item = Self> {
        let mut position = self.position;
        self.text.split(is_separator).map(move |text| {
            let part = Self { text, position };
            position += text.chars().count() + 1;
            part
        })
    }

    fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(separator)?;
        let position = self.position + before.chars().count() + 1;
        Some((Self { text: before, ..self }, Self { text: after, position }))
    }

    /// Without the letter at its end, which may be in any case.
    fn strip_suffix(self, letter: char) -> Option<Self> {
        let text = self.text.strip_suffix([letter.to_ascii_lowercase(), letter])?;
        Some(Self { text, ..self })
    }

    /// The number that it is; the largest of all when it is larger. `None` when it is not made of digits alone.
    fn digits(self) -> Option<u64> {
        let digits = !self.text.is_empty() && self.text.bytes().all(|it| it.is_ascii_digit());
        digits.then(|| self.text.parse().unwrap_or(u64::MAX))
    }

    /// The place behind it.
    fn end(self) -> Self {
        Self { text: "", position: self.position + self.text.chars().count() }
    }

    fn refuse(
        self,
        field: &'static str,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> ExpressionError {
        ExpressionError {
            field,
            number: None,
            position: self.position,
            length: self.text.chars().count(),
            message: message.into(),
            expected: expected.into(),
        }
    }

    fn refuse_in(
        self,
        field: &Field,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> ExpressionError {
        ExpressionError { number: Some(field.number), ..self.refuse(field.name, message, expected) }
    }
}
