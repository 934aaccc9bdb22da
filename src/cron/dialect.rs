//! The dialects as tables: what each field accepts, and the options in which the dialects differ.
//!
//! Invariant: parser and matcher read these tables and know no dialect by name, so a new dialect is a new
//! table.

use crate::model::{Dialect, Weekdays};

impl Dialect {
    /// The expression to store: unchanged, or without surrounding blanks.
    pub fn stored(self, expression: &str) -> &str {
        if self.grammar().stored_trimmed { expression.trim() } else { expression }
    }

    /// Whether a new schedule that never fires is refused.
    pub fn refuses_what_never_fires(self) -> bool {
        self.grammar().never_is_refused
    }

    pub(super) fn grammar(self) -> &'static Grammar {
        match self {
            Self::Classic(Weekdays::Unix) => &CLASSIC,
            Self::Classic(Weekdays::Quartz) => &CLASSIC_QUARTZ,
            Self::Ocf2 => &OCF2,
        }
    }
}

/// What a dialect accepts.
pub(super) struct Grammar {
    pub(super) length: Length,
    pub(super) stored_trimmed: bool,
    /// Whether a schedule that never fires is refused.
    pub(super) never_is_refused: bool,
    /// Second, minute, hour, day of month, month, day of week, year.
    pub(super) fields: [&'static Field; 7],
    /// Whether six fields may begin with seconds, and seven fields are accepted.
    pub(super) seconds: bool,
    /// What matches when day of month and day of week are both restricted.
    pub(super) both_days: BothDays,
    /// How a zone in the expression treats clock changes.
    pub(super) clock_changes: ClockChanges,
    /// Whether the zone prefix ends only at a space.
    pub(super) zone_ends_at_space: bool,
    /// Whether `1,,2` is accepted.
    pub(super) empty_elements: bool,
    /// Whether a number may have a plus sign.
    pub(super) plus: bool,
    /// Whether a step must be smaller than the number of values of its range.
    pub(super) step_must_fit: bool,
    /// Whether the text after `*-` is ignored.
    pub(super) star_hides_range: bool,
    /// Whether a cyclic range may begin beyond its field, and is then taken modulo the field.
    pub(super) range_may_begin_beyond: bool,
    /// Whether day of week accepts `L`: `5L`, `FRIL`, and a plain `L` for Saturday.
    pub(super) weekday_letter: bool,
    /// The smallest n in `L-n`.
    pub(super) before_last_min: u64,
    pub(super) descriptors: Descriptors,
    /// Whether `@at` is accepted.
    pub(super) once: bool,
}

pub(super) enum Length {
    Characters(usize),
    Bytes(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BothDays {
    Either,
    Both,
}

/// The treatment of local times that are skipped or repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClockChanges {
    /// A skipped time does not fire; a repeated one fires twice.
    Plain,
    /// Times in a gap of one hour fire once in the following hour; a fire time that repeats the previous
    /// reading is dropped.
    Ocf2,
    /// A skipped time fires later by the length of the gap; a repeated one fires only the first time.
    Once,
}

pub(super) enum Descriptors {
    /// Any case; an interval below a second becomes one second.
    Lenient,
    /// Lower case only; an interval is at least a second. Also accepts descriptors that never fire by
    /// themselves.
    Strict,
}

/// The numbers and names that a field accepts.
#[derive(Debug)]
pub(super) struct Field {
    /// The name in errors and warnings.
    pub(super) name: &'static str,
    pub(super) first: u64,
    /// The end of `*` and `a/n`.
    pub(super) last: u64,
    /// The highest accepted number.
    pub(super) highest: u64,
    /// Names of the numbers from [`Self::named_from`] on.
    pub(super) names: &'static [&'static str],
    pub(super) named_from: u64,
    /// Further syntax beside numbers, names, ranges, steps and lists, as text for errors.
    pub(super) specials: &'static str,
    pub(super) kind: FieldKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    Plain,
    DayOfMonth,
    DayOfWeek,
    /// Not cyclic, no `H`, and `*` only alone.
    Year,
}

impl Field {
    const fn numbers(name: &'static str, first: u64, last: u64) -> Self {
        Self {
            name,
            first,
            last,
            highest: last,
            names: &[],
            named_from: first,
            specials: "",
            kind: FieldKind::Plain,
        }
    }

    /// The number of values after which a cyclic range wraps around.
    pub(super) fn size(&self) -> u64 {
        self.highest - self.first + 1
    }

    /// As shown in errors, for example `0-59`; `None` for years.
    pub(super) fn valid_range(&self) -> Option<String> {
        (self.kind != FieldKind::Year).then(|| format!("{}-{}", self.first, self.highest))
    }

    /// What the field accepts, as text.
    pub(super) fn grammar(&self) -> String {
        let (first, last, highest) = (self.first, self.last, self.highest);
        let names = match self.names {
            [one, .., other] => format!(" (or {one} to {other})"),
            _ => String::new(),
        };
        let specials = self.specials;
        format!(
            "numbers from {first} to {highest}{names}, * for all, a range like {first}-{last}, \
             a step like */2, or a list of these like {first},{last}{specials}"
        )
    }

    /// The weekday, from Sunday = 0, of a number in this field.
    pub(super) fn weekday(&self, number: u64) -> u64 {
        (number - self.first) % 7
    }
}

const MONTH_NAMES: &[&str] =
    &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAY_NAMES: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const SECOND: Field = Field::numbers("second", 0, 59);
const MINUTE: Field = Field::numbers("minute", 0, 59);
const HOUR: Field = Field::numbers("hour", 0, 23);
const DAY_OF_MONTH: Field = Field {
    specials: "; also L for the last day, L-3, LW, and 15W for the weekday nearest to the 15th",
    kind: FieldKind::DayOfMonth,
    ..Field::numbers("day-of-month", 1, 31)
};
const MONTH: Field = Field { names: MONTH_NAMES, ..Field::numbers("month", 1, 12) };
const WEEKDAY: Field = Field {
    highest: 7,
    names: WEEKDAY_NAMES,
    specials: "; 0 and 7 are Sunday; also FRIL or FRI#L for the last Friday and FRI#2 for the second",
    kind: FieldKind::DayOfWeek,
    ..Field::numbers("day-of-week", 0, 6)
};
const QUARTZ_WEEKDAY: Field = Field {
    names: WEEKDAY_NAMES,
    specials: "; 1 is Sunday; also FRIL or FRI#L for the last Friday and FRI#2 for the second",
    kind: FieldKind::DayOfWeek,
    ..Field::numbers("day-of-week", 1, 7)
};
const OCF2_WEEKDAY: Field = Field {
    last: 7,
    specials: "; 0 and 7 are Sunday; also FRI#L for the last Friday and FRI#2 for the second",
    ..WEEKDAY
};
const YEAR: Field = Field { kind: FieldKind::Year, ..Field::numbers("year", 1970, 2099) };
const OCF2_YEAR: Field = Field {
    last: 9999,
    // OCF Scheduler 2.x accepts years up to here. Those after 9999 never come.
    highest: 2_147_483_647,
    ..Field { kind: FieldKind::Year, ..Field::numbers("year", 1, 9999) }
};

const CLASSIC: Grammar = Grammar {
    length: Length::Characters(256),
    stored_trimmed: false,
    never_is_refused: false,
    fields: [&SECOND, &MINUTE, &HOUR, &DAY_OF_MONTH, &MONTH, &WEEKDAY, &YEAR],
    seconds: false,
    both_days: BothDays::Either,
    clock_changes: ClockChanges::Plain,
    zone_ends_at_space: false,
    empty_elements: false,
    plus: false,
    step_must_fit: false,
    star_hides_range: false,
    range_may_begin_beyond: false,
    weekday_letter: true,
    before_last_min: 0,
    descriptors: Descriptors::Lenient,
    once: true,
};
const CLASSIC_QUARTZ: Grammar =
    Grammar { fields: [&SECOND, &MINUTE, &HOUR, &DAY_OF_MONTH, &MONTH, &QUARTZ_WEEKDAY, &YEAR], ..CLASSIC };
const OCF2: Grammar = Grammar {
    length: Length::Bytes(1024),
    stored_trimmed: true,
    never_is_refused: true,
    fields: [&SECOND, &MINUTE, &HOUR, &DAY_OF_MONTH, &MONTH, &OCF2_WEEKDAY, &OCF2_YEAR],
    seconds: true,
    both_days: BothDays::Both,
    clock_changes: ClockChanges::Ocf2,
    zone_ends_at_space: true,
    empty_elements: true,
    plus: true,
    step_must_fit: true,
    star_hides_range: true,
    range_may_begin_beyond: true,
    weekday_letter: false,
    before_last_min: 1,
    descriptors: Descriptors::Strict,
    once: false,
};
