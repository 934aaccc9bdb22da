//! Parses expressions by the table of a dialect. Each error says where the fault is and what would be right.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::dialect::{Descriptors, Field, FieldKind, Grammar, Length};
use super::error::ParseError;
use super::interval;

const ZONE_LENGTH_MAX: usize = 64;
const STEP_MAX: u64 = i64::MAX as u64;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SATURDAY: u64 = 6;

const DESCRIPTORS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * SUN"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
/// OCF Scheduler 2.x accepts these. They never fire by themselves.
const TRIGGERED: [&str; 3] = ["@triggered", "@manual", "@none"];
const DESCRIPTORS_SHOWN: &str =
    "@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, @every <duration>";
const DURATION_SHOWN: &str = "numbers with the units h, m, s, ms, us or ns, as in 1h30m or 90s";
const TIME_SHOWN: &str = "an instant like 2026-12-31T23:59:00Z, or a local time like 2026-12-31T23:59:00";
const ZONE_SHOWN: &str =
    "a name of the IANA time zone database, in its upper and lower case, like Europe/Berlin";

/// The five fields that a descriptor in small letters stands for.
pub(super) fn fields_of_descriptor(name: &str) -> Option<&'static str> {
    DESCRIPTORS.iter().find(|(known, _)| *known == name).map(|(_, fields)| *fields)
}

/// A parsed expression.
pub(super) struct Parsed<'a> {
    /// The zone of the prefix.
    pub(super) zone: Option<TimeZone>,
    pub(super) timing: Timing<'a>,
}

pub(super) enum Timing<'a> {
    /// In seconds, at least 1.
    Every(u64),
    /// Never by itself.
    Triggered,
    /// Once.
    At(Instant),
    Fields(Box<Fields<'a>>),
}

/// The instant of an `@at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instant {
    /// In seconds since 1970.
    Absolute(i64),
    /// In local time.
    Local(DateTime),
}

pub(super) struct Fields<'a> {
    /// Second, minute, hour, day of month, month, day of week, year; the first and the last are optional.
    pub(super) lists: [Option<List<'a>>; 7],
}

/// A field as written.
pub(super) struct List<'a> {
    pub(super) field: &'static Field,
    pub(super) text: &'a str,
    pub(super) items: Vec<Item>,
    pub(super) has_empty_element: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// `*`, `?` and `*/1`: no restriction.
    All,
    /// If `first > last`, the range is cyclic. `set` has a bit for each value; it is empty for years.
    Values {
        first: u64,
        last: u64,
        step: u64,
        form: Form,
        set: u64,
    },
    /// `H`: the values derived from the hash key.
    Hashed {
        set: u64,
        step: Option<u64>,
    },
    /// `L`, or this many days before the last day.
    LastDay {
        before: u64,
    },
    LastWorkday,
    /// The weekday (Monday to Friday) nearest to this day.
    WorkdayNear {
        day: u64,
    },
    /// Weekdays from Sunday = 0; occurrences from 1.
    Occurrence {
        weekday: u64,
        occurrence: u64,
    },
    LastWeekday {
        weekday: u64,
    },
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Single,
    Range,
    /// `*/n`.
    Star,
    /// `a/n`.
    From,
}

/// Parses an expression. `hash` is the hash of the key for `H`; `takes_once`: whether `@at` is accepted.
pub(super) fn parse<'a>(
    text: &'a str,
    grammar: &Grammar,
    hash: u64,
    takes_once: bool,
) -> Result<Parsed<'a>, Box<ParseError>> {
    let trimmed = text.trim();
    let whole = Part { text: trimmed, offset: 0 };
    expression(text, whole, grammar, hash, takes_once).map_err(|refusal| refusal.located(text, trimmed))
}

/// 64-bit FNV-1a.
pub(super) fn hash_of(key: &str) -> u64 {
    key.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn expression<'a>(
    given: &str,
    whole: Part<'a>,
    grammar: &Grammar,
    hash: u64,
    takes_once: bool,
) -> Result<Parsed<'a>, Box<Refusal<'a>>> {
    check_length(given, whole, grammar)?;
    let (zone, rest) = split_zone(whole, grammar)?;
    let timing = if let Some(instant) = if takes_once { instant_of(rest)? } else { None } {
        Timing::At(instant)
    } else if rest.text.starts_with('@') {
        match grammar.descriptors {
            Descriptors::Lenient => lenient_descriptor(rest)?,
            Descriptors::Strict => strict_descriptor(rest)?,
        }
        .timing(rest, grammar, hash)?
    } else {
        Timing::Fields(Box::new(fields(&rest.words(), rest, grammar, hash)?))
    };
    Ok(Parsed { zone, timing })
}

fn check_length<'a>(given: &str, whole: Part<'a>, grammar: &Grammar) -> Result<(), Box<Refusal<'a>>> {
    let (too_long, expected) = match grammar.length {
        Length::Characters(max) => (given.chars().nth(max).is_some(), format!("at most {max} characters")),
        Length::Bytes(max) => (max < whole.text.len(), format!("at most {max} bytes")),
    };
    if too_long { Err(whole.end().refuse("the expression is too long", expected)) } else { Ok(()) }
}

/// The zone prefix of an expression, if it begins with one.
pub(super) fn zone_prefix_of(expression: &str) -> Option<&'static str> {
    ["TZ=", "CRON_TZ="].into_iter().find(|key| expression.starts_with(key))
}

/// Splits off the zone of a prefix.
fn split_zone<'a>(
    whole: Part<'a>,
    grammar: &Grammar,
) -> Result<(Option<TimeZone>, Part<'a>), Box<Refusal<'a>>> {
    let Some(key) = zone_prefix_of(whole.text) else {
        return Ok((None, whole));
    };
    let ends = |it: char| if grammar.zone_ends_at_space { it == ' ' } else { it.is_whitespace() };
    let end = whole.text.find(ends).unwrap_or(whole.text.len());
    let name = whole.slice(key.len(), end).unquoted();
    let zone = zone_named(name.text).ok_or_else(|| {
        name.refuse(format!("{:?} is no time zone", name.text), ZONE_SHOWN).in_part("time zone", name)
    })?;
    let rest = whole.slice(end, whole.text.len()).trim_start();
    if rest.text.is_empty() {
        return Err(rest.refuse("there are no fields behind the time zone", fields_shown(grammar)));
    }
    Ok((Some(zone), rest))
}

/// The zone with this IANA name, which is case-sensitive.
pub(super) fn zone_named(name: &str) -> Option<TimeZone> {
    if ZONE_LENGTH_MAX < name.len() {
        return None;
    }
    // `jiff` accepts names in any case, and returns a different name for an unknown zone.
    TimeZone::get(name).ok().filter(|zone| zone.iana_name() == Some(name))
}

enum Descriptor {
    Every(u64),
    Triggered,
    Fields(&'static str),
}

impl Descriptor {
    fn timing<'a>(self, at: Part<'a>, grammar: &Grammar, hash: u64) -> Result<Timing<'a>, Box<Refusal<'a>>> {
        Ok(match self {
            Self::Every(seconds) => Timing::Every(seconds),
            Self::Triggered => Timing::Triggered,
            Self::Fields(text) => {
                let words = Part { text, offset: at.offset }.words();
                Timing::Fields(Box::new(fields(&words, at, grammar, hash)?))
            }
        })
    }
}

/// The instant after `@at`; `None`: the expression does not begin with `@at`.
fn instant_of(text: Part<'_>) -> Result<Option<Instant>, Box<Refusal<'_>>> {
    let is_at = text.text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("@at"));
    let rest = if is_at { text.slice(3, text.text.len()) } else { return Ok(None) };
    if rest.text.is_empty() {
        return Err(text.refuse("@at takes one time", TIME_SHOWN).in_part("descriptor", text));
    }
    if !rest.text.starts_with(char::is_whitespace) {
        return Ok(None);
    }
    let time = rest.trim_start();
    if let Ok(instant) = time.text.parse::<Timestamp>() {
        return Ok(Some(Instant::Absolute(instant.as_second())));
    }
    // A date alone is not a time.
    match time.text.parse::<DateTime>() {
        Ok(local) if time.text.contains(':') => Ok(Some(Instant::Local(local))),
        _ => {
            let message = format!("{:?} is no time", time.text);
            Err(time.refuse(message, TIME_SHOWN).in_part("@at", time))
        }
    }
}

fn lenient_descriptor(text: Part<'_>) -> Result<Descriptor, Box<Refusal<'_>>> {
    let words = text.words();
    if let [every, duration] = words.as_slice()
        && every.text.eq_ignore_ascii_case("@every")
    {
        let nanos = interval::parse(duration.text).ok_or_else(|| no_duration(*duration))?;
        let seconds = (nanos / NANOS_PER_SECOND).max(1);
        return Ok(Descriptor::Every(seconds.unsigned_abs()));
    }
    let Some((first, surplus)) = words.split_first() else {
        return Err(text.refuse("nothing is here", DESCRIPTORS_SHOWN));
    };
    let known = DESCRIPTORS.iter().find(|(name, _)| name.eq_ignore_ascii_case(first.text));
    if let (Some((_, fields)), []) = (known, surplus) {
        return Ok(Descriptor::Fields(fields));
    }
    // Surplus text after a known descriptor is the fault, except for @every, which needs another word.
    let (at, message) = match (known, surplus) {
        (Some(_), [surplus, ..]) => (*surplus, "nothing may follow here".to_owned()),
        _ if first.text.eq_ignore_ascii_case("@every") => {
            (*words.get(2).unwrap_or(first), "@every takes one duration".to_owned())
        }
        _ => (*first, format!("{:?} is not known", first.text)),
    };
    let names = DESCRIPTORS.map(|(name, _)| name).join(", ");
    let expected = format!(
        "one of {names} alone, or @every and one duration like 1h30m, or @at and one time like \
         2026-12-31T23:59:00Z"
    );
    Err(at.refuse(message, expected).in_part("descriptor", at).ranging(DESCRIPTORS_SHOWN))
}

fn strict_descriptor(text: Part<'_>) -> Result<Descriptor, Box<Refusal<'_>>> {
    if let Some(duration) = text.strip_prefix("@every ") {
        let nanos = interval::parse(duration.text).ok_or_else(|| no_duration(duration))?;
        if nanos < NANOS_PER_SECOND {
            let message = format!("{} is shorter than a second", duration.text);
            return Err(duration.refuse(message, "at least 1s").in_part("@every", duration));
        }
        return Ok(Descriptor::Every((nanos / NANOS_PER_SECOND).unsigned_abs()));
    }
    if TRIGGERED.contains(&text.text) {
        return Ok(Descriptor::Triggered);
    }
    match fields_of_descriptor(text.text) {
        Some(fields) => Ok(Descriptor::Fields(fields)),
        None => Err(text
            .refuse(format!("{:?} is not known", text.text), format!("one of {DESCRIPTORS_SHOWN}"))
            .in_part("descriptor", text)
            .ranging(DESCRIPTORS_SHOWN)),
    }
}

fn no_duration(part: Part<'_>) -> Box<Refusal<'_>> {
    part.refuse(format!("{:?} is no duration", part.text), DURATION_SHOWN).in_part("@every", part)
}

fn fields_shown(grammar: &Grammar) -> &'static str {
    if grammar.seconds {
        "perhaps seconds, then minute, hour, day of month, month, day of week and perhaps a year, \
         with blanks in between, as in 0 9 * * 1-5; or one like @daily or @every 1h30m"
    } else {
        "minute, hour, day of month, month, day of week and perhaps a year, with blanks in between, as in \
         0 9 * * 1-5; or one like @daily or @every 1h30m"
    }
}

fn fields<'a>(
    words: &[Part<'a>],
    whole: Part<'a>,
    grammar: &Grammar,
    hash: u64,
) -> Result<Fields<'a>, Box<Refusal<'a>>> {
    let most = if grammar.seconds { 7 } else { 6 };
    if words.len() < 5 || most < words.len() {
        let message = match words.len() {
            0 => "there are no fields".to_owned(),
            1 => "there is one field".to_owned(),
            count => format!("there are {count} fields"),
        };
        // Point to the surplus text, or to where something is missing.
        let at = words.get(most).copied().or_else(|| words.last().map(|last| last.end()));
        return Err(at.unwrap_or(whole).refuse(message, fields_shown(grammar)));
    }
    let last_is_year = words.last().is_some_and(|last| looks_like_year(last.text));
    let seconds = grammar.seconds && (words.len() == 7 || words.len() == 6 && !last_is_year);
    let mut lists = [const { None }; 7];
    let places = usize::from(!seconds)..;
    for (place, (index, word)) in places.zip(words.iter().enumerate()) {
        let reader = Reader { field: grammar.fields[place], number: index + 1, grammar, hash };
        lists[place] = Some(reader.list(*word)?);
    }
    if words.len() == 7 && !last_is_year {
        let at = words.last().map_or(whole, |last| *last);
        return Err(at.refuse("the last of seven fields is no year", "a year of 100 or more"));
    }
    Ok(Fields { lists })
}

/// How OCF Scheduler 2.x recognises a year: a number of 100 or more.
pub(super) fn looks_like_year(text: &str) -> bool {
    text.split([',', '-', '/']).any(|it| it.parse::<i64>().is_ok_and(|number| 100 <= number))
}

/// Parses one field of an expression.
struct Reader<'g> {
    field: &'static Field,
    /// Its position in the expression, from 1.
    number: usize,
    grammar: &'g Grammar,
    hash: u64,
}

impl Reader<'_> {
    fn list<'a>(&self, text: Part<'a>) -> Result<List<'a>, Box<Refusal<'a>>> {
        let mut items = Vec::new();
        let mut has_empty_element = false;
        for element in text.split(|it| it == ',') {
            if element.text.is_empty() && self.grammar.empty_elements {
                has_empty_element = true;
                continue;
            }
            let item = self.item(element, text)?;
            // Repeated elements are stored once, to bound memory.
            if !items.contains(&item) {
                items.push(item);
            }
        }
        Ok(List { field: self.field, text: text.text, items, has_empty_element })
    }

    fn item<'a>(&self, element: Part<'a>, list: Part<'a>) -> Result<Item, Box<Refusal<'a>>> {
        let special = match self.field.kind {
            FieldKind::DayOfMonth => self.special_day_of_month(element)?,
            FieldKind::DayOfWeek => self.special_day_of_week(element)?,
            FieldKind::Plain | FieldKind::Year => None,
        };
        if let Some(special) = special {
            return Ok(special);
        }
        if self.field.kind != FieldKind::Year && element.text.starts_with('H') {
            return self.hashed(element);
        }
        let star_must_stand_alone = self.field.kind == FieldKind::Year && self.grammar.seconds;
        self.values(element, !star_must_stand_alone || matches!(list.text, "*" | "?"))
    }

    fn special_day_of_month<'a>(&self, element: Part<'a>) -> Result<Option<Item>, Box<Refusal<'a>>> {
        let upper = element.text.to_ascii_uppercase();
        if upper == "L" {
            return Ok(Some(Item::LastDay { before: 0 }));
        }
        if upper == "LW" {
            return Ok(Some(Item::LastWorkday));
        }
        if upper.starts_with("L-") {
            let min = self.grammar.before_last_min;
            let expected = format!("a whole number from {min} to 30 behind L-");
            let before =
                self.part_number(element, element.slice(2, element.text.len()), min, 30, &expected)?;
            return Ok(Some(Item::LastDay { before }));
        }
        if upper.ends_with('W') && upper.is_ascii() {
            let day = element.slice(0, element.text.len() - 1);
            let expected = self.field.grammar();
            let day = self.part_number(element, day, self.field.first, self.field.last, &expected)?;
            return Ok(Some(Item::WorkdayNear { day }));
        }
        Ok(None)
    }

    fn special_day_of_week<'a>(&self, element: Part<'a>) -> Result<Option<Item>, Box<Refusal<'a>>> {
        if self.grammar.weekday_letter && !element.text.contains('#') {
            if element.text.eq_ignore_ascii_case("L") {
                let number = SATURDAY + self.field.named_from;
                let set = 1 << number;
                let (first, last, step) = (number, number, 1);
                return Ok(Some(Item::Values { first, last, step, form: Form::Single, set }));
            }
            if let Some(day) = element.text.strip_suffix(['L', 'l']) {
                let day = element.slice(0, day.len());
                let weekday = self.field.weekday(self.bounded(element, day)?);
                return Ok(Some(Item::LastWeekday { weekday }));
            }
        }
        let Some((day, occurrence)) = element.split_once('#') else { return Ok(None) };
        let weekday = self.field.weekday(self.bounded(element, day)?);
        if occurrence.text.eq_ignore_ascii_case("L") {
            return Ok(Some(Item::LastWeekday { weekday }));
        }
        let expected = "a whole number from 1 to 5, or L, behind #";
        let occurrence = self.part_number(element, occurrence, 1, 5, expected)?;
        Ok(Some(Item::Occurrence { weekday, occurrence }))
    }

    /// A number inside an element, as in `L-3`. If it is wrong, the whole element is refused.
    fn part_number<'a>(
        &self,
        element: Part<'a>,
        part: Part<'a>,
        min: u64,
        max: u64,
        expected: &str,
    ) -> Result<u64, Box<Refusal<'a>>> {
        let message = match self.whole_number(part.text) {
            Some(number) if number < min => format!("{} is below {min}", part.text),
            Some(number) if max < number => format!("{} is beyond {max}", part.text),
            Some(number) => return Ok(number),
            None => self.no_number(part),
        };
        Err(self.refuse_element(element, part, message, expected))
    }

    /// `*`, numbers and names, and ranges and steps of them.
    fn values<'a>(&self, element: Part<'a>, star: bool) -> Result<Item, Box<Refusal<'a>>> {
        let field = self.field;
        let (range, step) = match element.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (element, None),
        };
        let (low, high) = match range.split_once('-') {
            Some((low, high)) => (low, Some(high)),
            None => (range, None),
        };
        let is_star = star
            && matches!(low.text, "*" | "?")
            && (high.is_none() || self.grammar.star_hides_range && field.kind != FieldKind::Year);
        let (mut first, mut last, form) = if is_star {
            (field.first, field.last, Form::Star)
        } else {
            let first = self.number_in(element, low)?;
            match high {
                Some(high) => (first, self.number_in(element, high)?, Form::Range),
                None if step.is_some() => (first, field.last.max(first), Form::From),
                None => (first, first, Form::Single),
            }
        };
        let step = step.map(|step| self.step(element, step)).transpose()?;
        if is_star && step.is_none_or(|step| step == 1) {
            return Ok(Item::All);
        }
        if !is_star {
            self.check_bounds(element, (low, first), (high.unwrap_or(low), last), form)?;
        }
        // Sunday as 7 starts where 0 does.
        if form == Form::From && field.kind == FieldKind::DayOfWeek && field.last < first {
            (first, last) = (field.first, field.last);
        }
        if last < first && field.kind == FieldKind::Year {
            let message = format!("the range {} is reversed", range.text);
            return Err(self.refuse_element(element, range, message, "a range from the lower to the higher"));
        }
        let step = step.unwrap_or(1);
        let count = self.count(first, last);
        if self.grammar.step_must_fit && 1 < step && (0..=i128::from(step)).contains(&count) {
            let message =
                format!("the step {step} is not smaller than the number of values, which is {count}");
            let expected = "a step that is smaller than the number of values of its range";
            return Err(self.refuse_element(element, element, message, expected));
        }
        let set = if field.kind == FieldKind::Year { 0 } else { self.set(first, first, last, step) };
        Ok(Item::Values { first, last, step, form, set })
    }

    fn check_bounds<'a>(
        &self,
        element: Part<'a>,
        (low, first): (Part<'a>, u64),
        (high, last): (Part<'a>, u64),
        form: Form,
    ) -> Result<(), Box<Refusal<'a>>> {
        let field = self.field;
        let may_begin_beyond = self.grammar.range_may_begin_beyond && last < first;
        if first < field.first || field.highest < first && !may_begin_beyond {
            return Err(self.out_of_bounds(element, low, first));
        }
        if form == Form::Range && (last < field.first && !may_begin_beyond || field.highest < last) {
            return Err(self.out_of_bounds(element, high, last));
        }
        Ok(())
    }

    /// The number of values from `first` to `last`, wrapping around if cyclic. Not positive if a cyclic range
    /// begins so far beyond its field that it is empty.
    fn count(&self, first: u64, last: u64) -> i128 {
        let [first, last, size] = [first, last, self.field.size()].map(i128::from);
        if last < first { last + size - first + 1 } else { last - first + 1 }
    }

    /// The values from `from` on in steps, in a range from `first` to `last`, which may wrap around.
    fn set(&self, from: u64, first: u64, last: u64, step: u64) -> u64 {
        let (lowest, highest, size) = (self.field.first, self.field.highest, self.field.size());
        let end = if last < first { last + size } else { last };
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        (from..=end).step_by(step).fold(0, |set, value| {
            let value = if highest < value { (value - lowest) % size + lowest } else { value };
            set | 1 << value
        })
    }

    fn hashed<'a>(&self, element: Part<'a>) -> Result<Item, Box<Refusal<'a>>> {
        let field = self.field;
        let (range, step) = match element.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (element, None),
        };
        let bounds = range.text.strip_prefix("H(").and_then(|it| it.strip_suffix(')'));
        let (first, last) = if range.text == "H" {
            (field.first, field.highest)
        } else if let Some(bounds) = bounds
            && let Some((low, high)) = range.slice(2, 2 + bounds.len()).split_once('-')
        {
            let first = self.plain_number(element, low)?;
            let last = self.plain_number(element, high)?;
            self.check_bounds(element, (low, first), (high, last), Form::Range)?;
            (first, last)
        } else {
            let message = format!("{:?} is no hashed field", element.text);
            return Err(self.refuse_element(element, element, message, "H, H/15, H(15-45) or H(0-29)/10"));
        };
        let step = step.map(|step| self.step(element, step)).transpose()?.filter(|step| 1 < *step);
        let from = match (step, u64::try_from(self.count(first, last))) {
            (Some(step), _) => first.saturating_add(self.hash % step),
            (None, Ok(count @ 1..)) => first + self.hash % count,
            (None, _) => return Ok(Item::Hashed { set: 0, step }),
        };
        let set = match step {
            Some(step) => self.set(from, first, last, step),
            None => self.set(from, from, from, 1),
        };
        Ok(Item::Hashed { set, step })
    }

    /// A step, up to the maximum of a signed number: robfig/cron accepts steps beyond the end of the field.
    fn step<'a>(&self, element: Part<'a>, part: Part<'a>) -> Result<u64, Box<Refusal<'a>>> {
        match self.whole_number(part.text) {
            Some(step @ 1..=STEP_MAX) => Ok(step),
            _ => {
                let message = format!("{:?} is not a step", part.text);
                let expected = "a whole number of at least 1 behind the /";
                Err(self.refuse_element(element, part, message, expected))
            }
        }
    }

    /// A number or a name within the bounds of the field.
    fn bounded<'a>(&self, element: Part<'a>, part: Part<'a>) -> Result<u64, Box<Refusal<'a>>> {
        let number = self.number_in(element, part)?;
        if (self.field.first..=self.field.highest).contains(&number) {
            Ok(number)
        } else {
            Err(self.out_of_bounds(element, part, number))
        }
    }

    fn out_of_bounds<'a>(&self, element: Part<'a>, part: Part<'a>, number: u64) -> Box<Refusal<'a>> {
        let message = if number < self.field.first {
            format!("{} is below {}", part.text, self.field.first)
        } else {
            format!("{} is beyond {}", part.text, self.field.highest)
        };
        self.refuse_number(element, part, message)
    }

    /// A number or a name of one; the caller checks its bounds.
    fn number_in<'a>(&self, element: Part<'a>, part: Part<'a>) -> Result<u64, Box<Refusal<'a>>> {
        let names = (self.field.named_from..).zip(self.field.names);
        match names.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(part.text)) {
            Some((number, _)) => Ok(number),
            None => self.plain_number(element, part),
        }
    }

    fn plain_number<'a>(&self, element: Part<'a>, part: Part<'a>) -> Result<u64, Box<Refusal<'a>>> {
        let number = self.whole_number(part.text);
        number.ok_or_else(|| self.refuse_number(element, part, self.no_number(part)))
    }

    fn no_number(&self, part: Part<'_>) -> String {
        match part.text {
            "" => "a number is missing".to_owned(),
            text => {
                let or_name = if self.field.names.is_empty() { "" } else { " or a name" };
                format!("{text:?} is not a number{or_name}")
            }
        }
    }

    /// The number, or a very large one if it does not fit. `None` if the text has other characters than
    /// digits.
    fn whole_number(&self, text: &str) -> Option<u64> {
        let text = if self.grammar.plus { text.strip_prefix('+').unwrap_or(text) } else { text };
        let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        // Below 2^63, so that ranges can wrap around without overflow.
        digits.then(|| text.parse().unwrap_or(u64::MAX).min(STEP_MAX + 1))
    }

    fn refuse_number<'a>(&self, element: Part<'a>, part: Part<'a>, message: String) -> Box<Refusal<'a>> {
        // If something is missing, name the element that lacks it.
        let value = if part.text.is_empty() { Part { text: "", ..element } } else { part };
        let mut refusal = part.refuse(message, self.field.grammar()).in_part(self.field.name, value);
        refusal.number = Some(self.number);
        refusal.valid_range = self.field.valid_range();
        refusal
    }

    fn refuse_element<'a>(
        &self,
        element: Part<'a>,
        part: Part<'a>,
        message: String,
        expected: &str,
    ) -> Box<Refusal<'a>> {
        let mut refusal = part.refuse(message, expected).in_part(self.field.name, element);
        refusal.number = Some(self.number);
        refusal
    }
}

/// Why and where an expression was refused.
struct Refusal<'a> {
    at: Part<'a>,
    field: Option<&'static str>,
    number: Option<usize>,
    value: Option<Part<'a>>,
    valid_range: Option<String>,
    message: String,
    expected: String,
}

impl<'a> Refusal<'a> {
    fn in_part(mut self: Box<Self>, field: &'static str, value: Part<'a>) -> Box<Self> {
        self.field = Some(field);
        self.value = Some(value);
        self
    }

    fn ranging(mut self: Box<Self>, valid_range: &str) -> Box<Self> {
        self.valid_range = Some(valid_range.to_owned());
        self
    }

    fn located(self, text: &str, trimmed: &str) -> Box<ParseError> {
        let leading = text.len() - text.trim_start().len();
        let blanks = text[..leading].chars().count();
        let before = trimmed.get(..self.at.offset).unwrap_or(trimmed);
        Box::new(ParseError {
            field: self.field,
            number: self.number,
            value: self.value.map_or("", |value| value.text).to_owned(),
            valid_range: self.valid_range,
            offset: self.value.map(|value| value.offset),
            position: blanks + before.chars().count(),
            length: self.at.text.chars().count(),
            message: self.message,
            expected: self.expected,
        })
    }
}

/// A piece of the expression with its position.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    /// In bytes of the expression without surrounding blanks.
    offset: usize,
}

impl<'a> Part<'a> {
    fn words(self) -> Vec<Self> {
        self.split(char::is_whitespace).filter(|word| !word.text.is_empty()).collect()
    }

    fn split(self, is_separator: impl Fn(char) -> bool) -> impl Iterator<Item = Self> {
        self.text.split(is_separator).map(move |text| Self {
            text,
            offset: self.offset + (text.as_ptr() as usize - self.text.as_ptr() as usize),
        })
    }

    fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((self.slice(0, at), self.slice(at + separator.len_utf8(), self.text.len())))
    }

    /// The bytes from `from` to `to`, which must be character boundaries.
    fn slice(self, from: usize, to: usize) -> Self {
        Self { text: self.text.get(from..to).unwrap_or(""), offset: self.offset + from }
    }

    fn strip_prefix(self, prefix: &str) -> Option<Self> {
        let text = self.text.strip_prefix(prefix)?;
        Some(Self { text, offset: self.offset + prefix.len() })
    }

    fn trim_start(self) -> Self {
        let text = self.text.trim_start();
        Self { text, offset: self.offset + self.text.len() - text.len() }
    }

    /// Without one surrounding pair of quotation marks.
    fn unquoted(self) -> Self {
        let quoted = 2 <= self.text.len()
            && ['"', '\''].into_iter().any(|it| self.text.starts_with(it) && self.text.ends_with(it));
        if quoted { self.slice(1, self.text.len() - 1) } else { self }
    }

    /// The empty piece after it.
    fn end(self) -> Self {
        Self { text: "", offset: self.offset + self.text.len() }
    }

    fn refuse(self, message: impl Into<String>, expected: impl Into<String>) -> Box<Refusal<'a>> {
        Box::new(Refusal {
            at: self,
            field: None,
            number: None,
            value: None,
            valid_range: None,
            message: message.into(),
            expected: expected.into(),
        })
    }
}
