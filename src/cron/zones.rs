//! The time zones that an expression may name, and their clock changes in a year.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use jiff::tz::{TimeZone, db};
use jiff::{SignedDuration, Timestamp};

use super::pattern::{SECONDS_PER_DAY, date_of, day_of};
use super::words;

/// Which names are links, and to which zones. The compiled-in data stores each link as a zone of its own.
const LINKS: &str = include_str!("zone_links.txt");
/// No zone changes its clocks more often in a year.
const CHANGES_MAX: usize = 8;

/// A zone in a year.
#[derive(Debug)]
pub struct ZoneYear {
    /// The name in expressions.
    pub name: String,
    /// The abbreviation and offset of standard time, for example `EST (UTC -05:00)`.
    pub standard: String,
    /// The same for summer time; `None`: January 1 and July 1 have the same offset.
    pub summer: Option<String>,
    /// The links to it, sorted.
    pub aliases: Vec<&'static str>,
    /// A sentence about the clock changes of the year; empty if there are none.
    pub rules: String,
}

/// The names of all zones, sorted, without links.
pub fn zone_names() -> &'static [String] {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(read_zone_names);
    &NAMES
}

fn read_zone_names() -> Vec<String> {
    let links: HashSet<&str> = LINKS.lines().filter_map(|line| Some(line.split_once(' ')?.0)).collect();
    let names = db().available().map(|name| name.as_str().to_owned());
    let mut names: Vec<String> = names.filter(|name| !links.contains(name.as_str())).collect();
    names.sort_unstable();
    names
}

/// All zones by name, as they are in the year of an instant in seconds since 1970.
pub fn zones_in_year_of(seconds: i64) -> Vec<ZoneYear> {
    let mut aliases: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
    for (link, zone) in
        LINKS.lines().filter(|line| !line.starts_with('#')).filter_map(|it| it.split_once(' '))
    {
        aliases.entry(zone).or_default().push(link);
    }
    let day = seconds.div_euclid(SECONDS_PER_DAY);
    let (year, _, _) = date_of(day);
    let mut names: Vec<String> = db().available().map(|name| name.as_str().to_owned()).collect();
    names.sort_unstable();
    names
        .into_iter()
        .filter_map(|name| {
            let zone = super::parse::zone_named(&name)?;
            let [january, july, next_january] =
                [(year, 1), (year, 7), (year + 1, 1)].map(|(year, month)| first_of(&zone, year, month));
            let summer_first = zone.to_offset(july) < zone.to_offset(january);
            let (standard, summer) = if summer_first { (july, january) } else { (january, july) };
            let differ = zone.to_offset(january) != zone.to_offset(july);
            Some(ZoneYear {
                standard: shown(&zone, standard),
                summer: differ.then(|| shown(&zone, summer)),
                aliases: aliases.remove(name.as_str()).unwrap_or_default(),
                rules: rules(&zone, january, next_january, year),
                name,
            })
        })
        .collect()
}

/// The first instant of a month in local time.
fn first_of(zone: &TimeZone, year: i64, month: u64) -> Timestamp {
    let wall = day_of(year, month) * SECONDS_PER_DAY;
    let as_utc = Timestamp::from_second(wall).unwrap_or(Timestamp::MAX);
    let offset = i64::from(zone.to_offset(as_utc).seconds());
    Timestamp::from_second(wall - offset).unwrap_or(as_utc)
}

fn shown(zone: &TimeZone, at: Timestamp) -> String {
    let info = zone.to_offset_info(at);
    let seconds = info.offset().seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{} (UTC {sign}{:02}:{:02})", info.abbreviation(), minutes / 60, minutes % 60)
}

fn rules(zone: &TimeZone, from: Timestamp, until: Timestamp, year: i64) -> String {
    let changes: Vec<String> = zone
        .following(from)
        .take_while(|change| change.timestamp() < until)
        .take(CHANGES_MAX)
        .filter_map(|change| {
            let before = change.timestamp().checked_sub(SignedDuration::from_secs(1)).ok()?;
            let before = i64::from(zone.to_offset(before).seconds());
            let after = i64::from(change.offset().seconds());
            if before == after {
                return None;
            }
            let wall = change.timestamp().as_second() + before;
            let (day, clock) = (words::date(wall), words::clock(wall));
            let way = if before < after { "forward" } else { "back" };
            let by = words::duration((after - before).unsigned_abs());
            let by = if by == "hour" { "an hour".to_owned() } else { by };
            Some(format!("{way} by {by} on {day} at {clock}"))
        })
        .collect();
    if changes.is_empty() {
        return String::new();
    }
    format!("In {year} the clocks go {}.", words::joined(&changes))
}
