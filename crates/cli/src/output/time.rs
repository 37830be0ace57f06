//! Times and durations as people read them.

use std::fmt;

use ottla_record::Timestamp;

/// A moment in UTC: `2020-09-13T12:26:40.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant(pub Timestamp);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.millis();
        let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        let (hours, minutes, seconds) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", of_day % 1_000)
    }
}

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar (Howard Hinnant's
/// `civil_from_days`). Total: a timestamp from a damaged file is some date, never a panic.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A span of time in two units at most: `1h 02m`, `4m 03s`, `2.5s`, `12ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub std::time::Duration);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0..1_000 => write!(f, "{millis}ms"),
            1_000..60_000 => write!(f, "{}.{}s", millis / 1_000, millis / 100 % 10),
            60_000..3_600_000 => write!(f, "{}m {:02}s", millis / 60_000, millis / 1_000 % 60),
            _ => write!(f, "{}h {:02}m", millis / 3_600_000, millis / 60_000 % 60),
        }
    }
}
