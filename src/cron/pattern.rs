//! Matches wall-clock times, and searches for them forwards and backwards.
//!
//! Sets of small numbers are bit sets: bit 5 of `hours` is five o'clock. No bit is outside its field. An
//! empty set never matches.

use super::dialect::{BothDays, Field, Grammar};
use super::parse::{Fields, Item, List};

pub(super) const SECONDS_PER_DAY: i64 = 24 * 60 * 60;
const YEAR_MAX: i64 = 9999;
/// After this many months without a matching day, a search checks whether there can be any.
const MONTHS_BEFORE_DOUBT: u32 = 60;
/// A weekday occurs at least four and at most five times a month.
pub(super) const EVERY_OCCURRENCE: u64 = 0b1_1111;
const SUNDAY: u64 = 0;
const SATURDAY: u64 = 6;

/// The times of day and the dates that match.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u64,
    /// Whether the hour is `*`, `?` or `*/1`.
    pub(super) every_hour: bool,
    /// Whether the hour is unrestricted, perhaps as an element of a list.
    pub(super) every_hour_in_list: bool,
    days_of_month: DaysOfMonth,
    months: u64,
    days_of_week: DaysOfWeek,
    pub(super) either_day: bool,
    /// `None`: all years.
    pub(super) years: Option<Vec<Progression>>,
}

#[derive(Debug, Clone, Default)]
struct DaysOfMonth {
    restricted: bool,
    listed: u64,
    /// Bit 0 is the last day of the month, bit 3 the third day before it.
    before_last: u64,
    /// Each stands for the nearest weekday (Monday to Friday) in the same month.
    nearest_workday: u64,
    /// The last weekday (Monday to Friday) of the month.
    last_workday: bool,
}

#[derive(Debug, Clone, Default)]
struct DaysOfWeek {
    restricted: bool,
    /// From Sunday on: which occurrences in a month match. Bit 0 is the first Sunday, and so on.
    occurrences: [u64; 7],
    /// Bit 0: the last Sunday of the month matches, whichever occurrence it is.
    last: u64,
}

/// Every `step`th year from `first` to `last`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progression {
    first: u64,
    last: u64,
    step: u64,
}

impl Pattern {
    pub(super) fn new(fields: &Fields<'_>, grammar: &Grammar) -> Self {
        let [second, minute, hour, day_of_month, month, day_of_week, year] = &fields.lists;
        let set = |list: &Option<List<'_>>, absent: u64| list.as_ref().map_or(absent, values_of);
        let days_of_month = day_of_month.as_ref().map_or_else(DaysOfMonth::default, DaysOfMonth::new);
        let days_of_week = day_of_week.as_ref().map_or_else(DaysOfWeek::default, DaysOfWeek::new);
        let both = days_of_month.restricted && days_of_week.restricted;
        Self {
            seconds: set(second, 1),
            minutes: set(minute, 1),
            hours: set(hour, 1),
            every_hour: hour.as_ref().is_some_and(|it| it.items.as_slice() == [Item::All]),
            every_hour_in_list: hour.as_ref().is_some_and(|it| it.items.contains(&Item::All)),
            either_day: both && grammar.both_days == BothDays::Either,
            days_of_month,
            months: set(month, 0),
            days_of_week,
            years: year.as_ref().and_then(years_of),
        }
    }

    /// Whether day of month and day of week are both restricted.
    pub(super) fn restricts_both_days(&self) -> bool {
        self.days_of_month.restricted && self.days_of_week.restricted
    }

    /// The months that never have a day listed in day of month, and those that have one.
    pub(super) fn months_without_and_with_day(&self) -> (u64, u64) {
        let days = &self.days_of_month;
        let smallest = days.listed.trailing_zeros();
        if !days.restricted || smallest < 29 || days.listed == 0 || days.before_last != 0 || days.last_workday
        {
            return (0, self.months);
        }
        let short = bits(self.months).filter(|month| month_length(2023, *month) < u64::from(smallest));
        let without = short.fold(0, |set, month| set | 1 << month);
        (without, self.months & !without)
    }

    /// The first matching wall-clock time from `wall` on, inclusive. Searches to `horizon` or a little
    /// further.
    pub(super) fn first_from(&self, wall: i64, horizon: i64) -> Option<i64> {
        let (today, now) =
            (wall.div_euclid(SECONDS_PER_DAY), wall.rem_euclid(SECONDS_PER_DAY).unsigned_abs());
        let earliest = self.first_time_from(0)?;
        let day = self.first_day_from(today, horizon)?;
        if today < day {
            return Some(day * SECONDS_PER_DAY + earliest);
        }
        match self.first_time_from(now) {
            Some(time) => Some(day * SECONDS_PER_DAY + time),
            None => Some(self.first_day_from(today + 1, horizon)? * SECONDS_PER_DAY + earliest),
        }
    }

    /// The last matching wall-clock time up to `wall`, inclusive. Searches back to `horizon` or a little
    /// further.
    pub(super) fn last_until(&self, wall: i64, horizon: i64) -> Option<i64> {
        let (today, now) =
            (wall.div_euclid(SECONDS_PER_DAY), wall.rem_euclid(SECONDS_PER_DAY).unsigned_abs());
        let latest = self.last_time_until(SECONDS_PER_DAY.unsigned_abs() - 1)?;
        let day = self.last_day_until(today, horizon)?;
        if day < today {
            return Some(day * SECONDS_PER_DAY + latest);
        }
        match self.last_time_until(now) {
            Some(time) => Some(day * SECONDS_PER_DAY + time),
            None => Some(self.last_day_until(today - 1, horizon)? * SECONDS_PER_DAY + latest),
        }
    }

    /// The first matching second of the day from `time` on, inclusive.
    fn first_time_from(&self, time: u64) -> Option<i64> {
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        let found =
            |hour: u64, minute: u64, second: u64| i64::try_from((hour * 60 + minute) * 60 + second).ok();
        let (first_minute, first_second) = (first_bit(self.minutes)?, first_bit(self.seconds)?);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = first_bit_from(self.seconds, second)
            {
                return found(hour, minute, second);
            }
            if let Some(minute) = first_bit_from(self.minutes, minute + 1) {
                return found(hour, minute, first_second);
            }
        }
        found(first_bit_from(self.hours, hour + 1)?, first_minute, first_second)
    }

    /// The last matching second of the day up to `time`, inclusive.
    fn last_time_until(&self, time: u64) -> Option<i64> {
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        let found =
            |hour: u64, minute: u64, second: u64| i64::try_from((hour * 60 + minute) * 60 + second).ok();
        let (last_minute, last_second) =
            (last_bit_below(self.minutes, 64)?, last_bit_below(self.seconds, 64)?);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = last_bit_below(self.seconds, second + 1)
            {
                return found(hour, minute, second);
            }
            if let Some(minute) = last_bit_below(self.minutes, minute) {
                return found(hour, minute, last_second);
            }
        }
        found(last_bit_below(self.hours, hour)?, last_minute, last_second)
    }

    /// The first matching second of an hour from `from` on, in seconds of the hour.
    pub(super) fn first_in_hour(&self, from: u64) -> Option<u64> {
        let (minute, second) = (from / 60, from % 60);
        if has(self.minutes, minute)
            && let Some(second) = first_bit_from(self.seconds, second)
        {
            return Some(minute * 60 + second);
        }
        Some(first_bit_from(self.minutes, minute + 1)? * 60 + first_bit(self.seconds)?)
    }

    /// Whether any of the months has a matching day in any kind of year. A year is leap or not, and begins on
    /// one of seven weekdays.
    fn has_days(&self) -> bool {
        // All kinds of years occur within these 40.
        (2000..2040).any(|year| bits(self.months).any(|month| self.days_in(&Month::of((year, month))) != 0))
    }

    /// The first matching day from `day` on, inclusive; counted from 1970-01-01.
    fn first_day_from(&self, day: i64, horizon: i64) -> Option<i64> {
        let (year, month, day_of_month) = date_of(day);
        let mut at = (year, month);
        let mut from = day_of_month;
        for months in 0.. {
            if months == MONTHS_BEFORE_DOUBT && !self.has_days() {
                break;
            }
            let month = Month::of(self.first_month_from(at)?);
            if horizon < month.start * SECONDS_PER_DAY {
                return None;
            }
            if (month.year, month.month) != at {
                from = 1;
            }
            if let Some(found) = first_bit_from(self.days_in(&month), from) {
                return Some(month.day(found));
            }
            at = if month.month == 12 { (month.year + 1, 1) } else { (month.year, month.month + 1) };
            from = 1;
        }
        None
    }

    /// The last matching day up to `day`, inclusive; counted from 1970-01-01.
    fn last_day_until(&self, day: i64, horizon: i64) -> Option<i64> {
        let (year, month, day_of_month) = date_of(day);
        let mut at = (year, month);
        let mut until = day_of_month;
        for months in 0.. {
            if months == MONTHS_BEFORE_DOUBT && !self.has_days() {
                break;
            }
            let month = Month::of(self.last_month_until(at)?);
            if (month.start + 31) * SECONDS_PER_DAY < horizon {
                return None;
            }
            if (month.year, month.month) != at {
                until = 31;
            }
            if let Some(found) = last_bit_below(self.days_in(&month), until + 1) {
                return Some(month.day(found));
            }
            at = if month.month == 1 { (month.year - 1, 12) } else { (month.year, month.month - 1) };
            until = 31;
        }
        None
    }

    fn first_month_from(&self, (year, month): (i64, u64)) -> Option<(i64, u64)> {
        let listed = self.first_year_from(year)?;
        if listed == year
            && let Some(month) = first_bit_from(self.months, month)
        {
            return Some((year, month));
        }
        let listed = if listed == year { self.first_year_from(year + 1)? } else { listed };
        Some((listed, first_bit(self.months)?))
    }

    fn last_month_until(&self, (year, month): (i64, u64)) -> Option<(i64, u64)> {
        let listed = self.last_year_until(year)?;
        if listed == year
            && let Some(month) = last_bit_below(self.months, month + 1)
        {
            return Some((year, month));
        }
        let listed = if listed == year { self.last_year_until(year - 1)? } else { listed };
        Some((listed, last_bit_below(self.months, 64)?))
    }

    fn first_year_from(&self, year: i64) -> Option<i64> {
        let found = match &self.years {
            None => Some(year),
            Some(years) => years.iter().filter_map(|years| years.first_from(year)).min(),
        };
        found.filter(|year| *year <= YEAR_MAX)
    }

    fn last_year_until(&self, year: i64) -> Option<i64> {
        let found = match &self.years {
            None => Some(year),
            Some(years) => years.iter().filter_map(|years| years.last_until(year)).max(),
        };
        found.filter(|year| -YEAR_MAX <= *year)
    }

    fn days_in(&self, month: &Month) -> u64 {
        let (by_date, by_weekday) = (self.days_of_month.days_in(month), self.days_of_week.days_in(month));
        if self.either_day { by_date | by_weekday } else { by_date & by_weekday }
    }
}

/// The values of a field other than the year. Weekdays are numbered as in the field.
pub(super) fn values_of(list: &List<'_>) -> u64 {
    list.items.iter().fold(0, |set, item| {
        set | match *item {
            Item::All => every_bit(list.field.first, list.field.last),
            Item::Values { set, .. } | Item::Hashed { set, .. } => set,
            _ => 0,
        }
    })
}

/// Converts weekday bits from the field's numbering to Sunday = 0.
pub(super) fn weekdays_of(set: u64, field: &Field) -> u64 {
    bits(set).fold(0, |days, number| days | 1 << field.weekday(number))
}

fn years_of(list: &List<'_>) -> Option<Vec<Progression>> {
    list.items
        .iter()
        .map(|item| match *item {
            Item::Values { first, last, step, .. } => Some(Progression { first, last, step }),
            _ => None,
        })
        .collect()
}

impl DaysOfMonth {
    fn new(list: &List<'_>) -> Self {
        let mut days = Self { restricted: true, listed: values_of(list), ..Self::default() };
        for item in &list.items {
            match *item {
                Item::All => days.restricted = false,
                Item::LastDay { before } => days.before_last |= 1 << before,
                Item::LastWorkday => days.last_workday = true,
                Item::WorkdayNear { day } => days.nearest_workday |= 1 << day,
                _ => {}
            }
        }
        days
    }

    fn days_in(&self, month: &Month) -> u64 {
        let mut days = self.listed & month.days();
        for before_last in bits(self.before_last).filter(|it| *it < month.length) {
            days |= 1 << (month.length - before_last);
        }
        for day in bits(self.nearest_workday & month.days()) {
            days |= 1 << month.nearest_workday(day);
        }
        if self.last_workday {
            days |= 1 << month.nearest_workday(month.length);
        }
        days
    }
}

impl DaysOfWeek {
    fn new(list: &List<'_>) -> Self {
        let mut days = Self { restricted: true, ..Self::default() };
        for weekday in bits(weekdays_of(values_of(list), list.field)) {
            days.occurrences[weekday as usize] = EVERY_OCCURRENCE;
        }
        for item in &list.items {
            match *item {
                Item::All => days.restricted = false,
                Item::Occurrence { weekday, occurrence } => {
                    days.occurrences[weekday as usize] |= 1 << (occurrence - 1);
                }
                Item::LastWeekday { weekday } => days.last |= 1 << weekday,
                _ => {}
            }
        }
        days
    }

    fn days_in(&self, month: &Month) -> u64 {
        let mut days = 0;
        for (weekday, occurrences) in (0..).zip(self.occurrences) {
            let first = 1 + (weekday + 7 - month.first_weekday) % 7;
            for occurrence in bits(occurrences) {
                days |= 1 << (first + 7 * occurrence);
            }
            if has(self.last, weekday) {
                days |= 1 << (first + (month.length - first) / 7 * 7);
            }
        }
        days & month.days() // Not every weekday occurs a fifth time.
    }
}

impl Progression {
    fn first_from(self, year: i64) -> Option<i64> {
        let year = u64::try_from(year).unwrap_or(0).max(self.first);
        let steps = (year - self.first).div_ceil(self.step);
        let found = self.first.checked_add(steps.checked_mul(self.step)?)?;
        (found <= self.last).then(|| i64::try_from(found).ok()).flatten()
    }

    fn last_until(self, year: i64) -> Option<i64> {
        let year = u64::try_from(year).ok()?.min(self.last);
        let steps = year.checked_sub(self.first)? / self.step;
        i64::try_from(self.first + steps * self.step).ok()
    }
}

/// A month of a year, with what decides which of its days match.
struct Month {
    year: i64,
    /// From January = 1.
    month: u64,
    /// Its first day, counted from 1970-01-01.
    start: i64,
    /// From Sunday = 0.
    first_weekday: u64,
    length: u64,
}

impl Month {
    fn of((year, month): (i64, u64)) -> Self {
        let start = day_of(year, month);
        // 1970-01-01 was a Thursday.
        let first_weekday = (start + 4).rem_euclid(7).unsigned_abs();
        Self { year, month, start, first_weekday, length: month_length(year, month) }
    }

    fn day(&self, day_of_month: u64) -> i64 {
        self.start - 1 + day_of_month.cast_signed()
    }

    fn days(&self) -> u64 {
        every_bit(1, self.length)
    }

    /// The weekday (Monday to Friday) nearest to `day` in the same month.
    fn nearest_workday(&self, day: u64) -> u64 {
        match (self.first_weekday + day - 1) % 7 {
            SATURDAY if day == 1 => day + 2,
            SATURDAY => day - 1,
            SUNDAY if day == self.length => day - 2,
            SUNDAY => day + 1,
            _ => day,
        }
    }
}

fn month_length(year: i64, month: u64) -> u64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The first day of a month of the Gregorian calendar, counted from 1970-01-01.
pub(super) fn day_of(year: i64, month: u64) -> i64 {
    // Years begin in March here, so that the leap day is the last day.
    let month = month.cast_signed();
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
pub(super) fn date_of(day: i64) -> (i64, u64, u64) {
    // 146,097 days are 400 years. The first guess is at most a year off.
    let mut year = 1970 + day.div_euclid(146_097) * 400 + day.rem_euclid(146_097) / 366;
    while day_of(year + 1, 1) <= day {
        year += 1;
    }
    let of_year = (day - day_of(year, 1)).unsigned_abs();
    let mut month = 1 + of_year / 32;
    while month < 12 && day_of(year, month + 1) <= day {
        month += 1;
    }
    (year, month, (day - day_of(year, month)).unsigned_abs() + 1)
}

/// The set of `first` to `last`; both must be below 63.
pub(super) const fn every_bit(first: u64, last: u64) -> u64 {
    (2 << last) - (1 << first)
}

pub(super) fn bits(set: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(first_bit(set), move |bit| first_bit_from(set, bit + 1))
}

pub(super) fn has(set: u64, bit: u64) -> bool {
    bit < 64 && set >> bit & 1 == 1
}

fn first_bit(set: u64) -> Option<u64> {
    first_bit_from(set, 0)
}

/// The lowest value of a set that is at least `value`.
fn first_bit_from(set: u64, value: u64) -> Option<u64> {
    let rest = if value < 64 { set & (u64::MAX << value) } else { 0 };
    (rest != 0).then(|| u64::from(rest.trailing_zeros()))
}

/// The highest value of a set that is below `value`.
fn last_bit_below(set: u64, value: u64) -> Option<u64> {
    let rest = if value < 64 { set & ((1 << value) - 1) } else { set };
    (rest != 0).then(|| 63 - u64::from(rest.leading_zeros()))
}
