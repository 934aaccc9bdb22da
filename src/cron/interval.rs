//! The durations of `@every`, in Go's syntax: `1h30m`, `1.5h`, `-90s`, `0`.

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Go counts nanoseconds in a signed 64-bit integer; this is the length of the most negative duration.
const NANOS_MAX: u64 = 1 << 63;

/// The duration in nanoseconds; `None` if it is invalid or longer than Go can count.
pub(super) fn parse(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let nanos = if unsigned == "0" { 0 } else { sum_of_parts(unsigned)? };
    if text.starts_with('-') {
        return 0_i64.checked_sub_unsigned(nanos);
    }
    i64::try_from(nanos).ok()
}

/// The sum of one or more numbers with units, in nanoseconds.
fn sum_of_parts(text: &str) -> Option<u64> {
    let (mut total, mut rest) = part(text)?;
    while !rest.is_empty() {
        let (nanos, after) = part(rest)?;
        total = at_most_max(total.checked_add(nanos)?)?;
        rest = after;
    }
    Some(total)
}

/// The first number with its unit, in nanoseconds, and the rest of the text.
fn part(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = split_at_first(text, |it| !it.is_ascii_digit());
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => split_at_first(rest, |it| !it.is_ascii_digit()),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (unit, rest) = split_at_first(rest, |it| it == '.' || it.is_ascii_digit());
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 60 * 60 * NANOS_PER_SECOND,
        _ => return None,
    };
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanos = at_most_max(whole.checked_mul(unit)?)?.checked_add(fraction_nanos(fraction, unit))?;
    Some((at_most_max(nanos)?, rest))
}

/// In floating point and only from the digits that fit, as in Go, so that both truncate to the same second.
fn fraction_nanos(digits: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0_u64, 1.0_f64);
    for digit in digits.bytes().map(|it| u64::from(it - b'0')) {
        match value.checked_mul(10).and_then(|it| at_most_max(it.checked_add(digit)?)) {
            Some(longer) => value = longer,
            None => break,
        }
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

fn at_most_max(nanos: u64) -> Option<u64> {
    (nanos <= NANOS_MAX).then_some(nanos)
}

fn split_at_first(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}
