//! What an expression matches on the wall clock, and a search that knows all of the dialect.
//!
//! Sets of small numbers are bits: bit 5 of `hours` is five o'clock. Whoever builds a pattern leaves none of them
//! empty and sets no bit outside of its field.

use time::{Date, OffsetDateTime};

use super::SECONDS_PER_DAY;

/// The times of day and the dates that match.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) minutes: u64,
    pub(super) hours: u64,
    pub(super) days_of_month: DaysOfMonth,
    pub(super) months: u64,
    pub(super) days_of_week: DaysOfWeek,
    /// `None`: all years without end.
    pub(super) years: Option<Vec<Progression>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct DaysOfMonth {
    /// Whether the field counts when the other one of days is restricted as well.
    pub(super) restricted: bool,
    pub(super) listed: u64,
    /// Bit 0 is the last day of the month, bit 3 is three days before it.
    pub(super) before_last: u64,
    /// Each stands for the Monday to Friday that is nearest to it in the same month.
    pub(super) nearest_workday: u64,
    /// The last Monday to Friday of the month.
    pub(super) last_workday: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct DaysOfWeek {
    /// Whether the field counts when the other one of days is restricted as well.
    pub(super) restricted: bool,
    /// From Sunday on: which ones in a month match. Bit 0 is the first Sunday, and so on.
    pub(super) occurrences: [u64; 7],
    /// Bit 0: the last Sunday of the month matches, whichever occurrence it is.
    pub(super) last: u64,
}

/// The values from `first` to `last`, `step` apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progression {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) step: u64,
}

/// A weekday matches at least four and at most five times a month.
pub(super) const EVERY_OCCURRENCE: u64 = 0b1_1111;
const SUNDAY: u32 = 0;
const SATURDAY: u32 = 6;
const MINUTES_PER_DAY: i64 = 24 * 60;

impl Pattern {
    /// The first matching wall-clock time, `wall` included. Looks until `horizon` or a little farther.
    pub(super) fn first_from(&self, wall: i64, horizon: i64) -> Option<i64> {
        let minute = wall.div_euclid(60) + i64::from(wall.rem_euclid(60) != 0);
        let today = minute.div_euclid(MINUTES_PER_DAY);
        let now = minute.rem_euclid(MINUTES_PER_DAY) as u32;
        let fire_time = |day: i64, minute: u32| (day * MINUTES_PER_DAY + i64::from(minute)) * 60;

        let day = self.first_day_from(today, horizon)?;
        match self.first_minute_from(if day == today { now } else { 0 }) {
            Some(minute) => Some(fire_time(day, minute)),
            None => Some(fire_time(self.first_day_from(today + 1, horizon)?, self.first_minute_from(0)?)),
        }
    }

    /// The first matching minute of a day, `minute` included.
    fn first_minute_from(&self, minute: u32) -> Option<u32> {
        let hour = minute / 60;
        if self.hours >> hour & 1 == 1
            && let Some(minute) = first_bit_from(self.minutes, minute % 60)
        {
            return Some(hour * 60 + minute);
        }
        Some(first_bit_from(self.hours, hour + 1)? * 60 + first_bit_from(self.minutes, 0)?)
    }

    /// The first matching day, `day` included; both counted from 1970-01-01.
    fn first_day_from(&self, day: i64, horizon: i64) -> Option<i64> {
        let date = OffsetDateTime::from_unix_timestamp(day * SECONDS_PER_DAY).ok()?.date();
        let mut month = Month::of(date, day);
        let mut day_of_month = u32::from(date.day());
        while month.start * SECONDS_PER_DAY <= horizon && !self.is_over(month.year) {
            if self.includes(&month)
                && let Some(found) = first_bit_from(self.days_in(&month), day_of_month)
            {
                return Some(month.start + i64::from(found) - 1);
            }
            month = month.next();
            day_of_month = 1;
        }
        None
    }

    /// Whether no year from `year` on is listed.
    fn is_over(&self, year: i32) -> bool {
        self.years
            .as_ref()
            .is_some_and(|years| years.iter().all(|years| years.last < year.unsigned_abs().into()))
    }

    fn includes(&self, month: &Month) -> bool {
        let includes_year = |years: &Vec<Progression>| {
            u64::try_from(month.year).is_ok_and(|year| years.iter().any(|years| years.contains(year)))
        };
        self.months >> (month.month as u8) & 1 == 1 && self.years.as_ref().is_none_or(includes_year)
    }

    fn days_in(&self, month: &Month) -> u64 {
        match (self.days_of_month.restricted, self.days_of_week.restricted) {
            (true, true) => self.days_of_month.days_in(month) | self.days_of_week.days_in(month),
            (true, false) => self.days_of_month.days_in(month),
            (false, true) => self.days_of_week.days_in(month),
            (false, false) => month.days(),
        }
    }
}

impl DaysOfMonth {
    /// The listed days, when there is nothing else.
    pub(super) fn plain(&self) -> Option<u64> {
        let plain = self.before_last == 0 && self.nearest_workday == 0 && !self.last_workday;
        plain.then_some(self.listed)
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
    /// The weekdays, from Sunday = bit 0, when each of them matches in every week or in none.
    pub(super) fn plain(&self) -> Option<u64> {
        if self.last != 0 {
            return None;
        }
        self.occurrences.iter().enumerate().try_fold(0, |weekdays, (weekday, occurrences)| match *occurrences
        {
            0 => Some(weekdays),
            EVERY_OCCURRENCE => Some(weekdays | 1 << weekday),
            _ => None,
        })
    }

    fn days_in(&self, month: &Month) -> u64 {
        let mut days = 0;
        for (weekday, occurrences) in (0..).zip(self.occurrences) {
            let first = 1 + (weekday + 7 - month.first_weekday) % 7;
            for occurrence in bits(occurrences) {
                days |= 1 << (first + 7 * occurrence);
            }
            if self.last >> weekday & 1 == 1 {
                days |= 1 << (first + (month.length - first) / 7 * 7);
            }
        }
        days & month.days() // Not every weekday comes a fifth time.
    }
}

impl Progression {
    pub(super) fn values(self) -> impl Iterator<Item = u64> {
        (self.first..=self.last).step_by(usize::try_from(self.step).unwrap_or(usize::MAX))
    }

    fn contains(self, value: u64) -> bool {
        (self.first..=self.last).contains(&value) && (value - self.first).is_multiple_of(self.step)
    }
}

/// A month of a year, with all that decides which of its days match.
struct Month {
    year: i32,
    month: time::Month,
    /// Its first day, counted from 1970-01-01.
    start: i64,
    first_weekday: u32,
    length: u32,
}

impl Month {
    /// The month of `date`, which is `day` days after 1970-01-01.
    fn of(date: Date, day: i64) -> Self {
        Self::new(date.year(), date.month(), day - i64::from(date.day()) + 1)
    }

    fn new(year: i32, month: time::Month, start: i64) -> Self {
        // 1970-01-01 was a Thursday.
        let first_weekday = (start + 4).rem_euclid(7) as u32;
        Self { year, month, start, first_weekday, length: u32::from(month.length(year)) }
    }

    fn next(&self) -> Self {
        let year = if self.month == time::Month::December { self.year + 1 } else { self.year };
        Self::new(year, self.month.next(), self.start + i64::from(self.length))
    }

    fn days(&self) -> u64 {
        every_bit(1, self.length)
    }

    /// The Monday to Friday nearest to `day` that is still in the month.
    fn nearest_workday(&self, day: u32) -> u32 {
        match (self.first_weekday + day - 1) % 7 {
            SATURDAY if day == 1 => day + 2,
            SATURDAY => day - 1,
            SUNDAY if day == self.length => day - 2,
            SUNDAY => day + 1,
            _ => day,
        }
    }
}

/// The set of `first` to `last`, which are below 63.
pub(super) const fn every_bit(first: u32, last: u32) -> u64 {
    (2 << last) - (1 << first)
}

fn bits(set: u64) -> impl Iterator<Item = u32> {
    std::iter::successors(first_bit_from(set, 0), move |bit| first_bit_from(set, bit + 1))
}

/// The lowest value of a set that is at least `value`, which is below 64.
fn first_bit_from(set: u64, value: u32) -> Option<u32> {
    let rest = set & (u64::MAX << value);
    (rest != 0).then(|| rest.trailing_zeros())
}
