//! The dialects as tables: what each field takes, and in which options the dialects differ.
//!
//! Invariant: parser and matcher ask these tables and know no dialect by name, so a further dialect is a
//! table.

use crate::model::{Dialect, Weekdays};

impl Dialect {
    /// The expression as it is stored: as it came, or without the blanks around it.
    pub fn stored(self, expression: &str) -> &str {
        if self.grammar().stored_trimmed { expression.trim() } else { expression }
    }

    /// Whether a schedule that never fires is refused when it is made.
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

/// What a dialect takes.
pub(super) struct Grammar {
    pub(super) length: Length,
    pub(super) stored_trimmed: bool,
    /// Whether a schedule that never fires is refused.
    pub(super) never_is_refused: bool,
    /// Second, minute, hour, day of month, month, day of week, year.
    pub(super) fields: [&'static Field; 7],
    /// Whether six fields may begin with seconds and seven are taken.
    pub(super) seconds: bool,
    /// What matches when day of month and day of week are both restricted.
    pub(super) both_days: BothDays,
    /// How a zone in the expression treats clock changes.
    pub(super) clock_changes: ClockChanges,
    /// Whether the prefix with the zone ends at a space only.
    pub(super) zone_ends_at_space: bool,
    /// Whether `1,,2` is taken.
    pub(super) empty_elements: bool,
    /// Whether a number may have a plus.
    pub(super) plus: bool,
    /// Whether a step must be smaller than the number of values of its range.
    pub(super) step_must_fit: bool,
    /// Whether what stands behind `*-` is not looked at.
    pub(super) star_hides_range: bool,
    /// Whether a cyclic range may begin above the end of its field: it is taken modulo the field.
    pub(super) range_may_begin_beyond: bool,
    /// Whether `L` in day of week is taken: `5L`, `FRIL`, and `L` alone for Saturday.
    pub(super) weekday_letter: bool,
    /// The smallest n of `L-n`.
    pub(super) before_last_min: u64,
    pub(super) descriptors: Descriptors,
    /// Whether `@at` is taken.
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

/// What becomes of a local time that is skipped or comes twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClockChanges {
    /// A skipped one does not fire, a repeated one fires twice.
    Plain,
    /// A gap of one hour fires once in the hour after; a repetition of the same reading in a row is dropped.
    Ocf2,
    /// A skipped one fires as much later as the gap is long, a repeated one fires the first time.
    Once,
}

pub(super) enum Descriptors {
    /// Any case; an interval below a second counts as one second.
    Lenient,
    /// Exact lower case; an interval is at least a second. Also those that never fire by themselves.
    Strict,
}

/// What numbers and names a field takes.
#[derive(Debug)]
pub(super) struct Field {
    /// As errors and warnings name it.
    pub(super) name: &'static str,
    pub(super) first: u64,
    /// Where `*` and `a/n` end.
    pub(super) last: u64,
    /// The highest number that may be written.
    pub(super) highest: u64,
    /// Names of the numbers from [`Self::named_from`] on.
    pub(super) names: &'static [&'static str],
    pub(super) named_from: u64,
    /// What else it takes beside numbers, names, and ranges, steps and lists of these. For people.
    pub(super) specials: &'static str,
    pub(super) kind: FieldKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    Plain,
    DayOfMonth,
    DayOfWeek,
    /// Not cyclic, without `H`, and `*` stands alone.
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

    /// After how many values a cyclic range comes round.
    pub(super) fn size(&self) -> u64 {
        self.highest - self.first + 1
    }

    /// As errors show it, for example `0-59`; years have none.
    pub(super) fn valid_range(&self) -> Option<String> {
        (self.kind != FieldKind::Year).then(|| format!("{}-{}", self.first, self.highest))
    }

    /// What may stand in it, for people.
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

    /// The weekday of a number of this field, from Sunday = 0.
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
    // OCF Scheduler 2.x takes years up to here. Those after 9999 never come.
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
