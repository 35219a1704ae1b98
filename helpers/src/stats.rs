//! What many measurements of one thing say together.

use std::fmt;

/// The times of several runs of the same work, in seconds for one call of it.
///
/// A single number hides the noise of the machine; these five do not. The minimum is closest to
/// what the work itself costs, the median is what one usually gets, and the standard deviation
/// says how far to trust either.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Seconds for one call, one entry a run, in rising order; never empty.
    seconds: Vec<f64>,
    /// Calls in each run.
    loops: u64,
}

impl Stats {
    pub(crate) fn new(mut seconds: Vec<f64>, loops: u64) -> Stats {
        debug_assert!(!seconds.is_empty());
        seconds.sort_by(f64::total_cmp);
        Stats { seconds, loops }
    }

    /// The arithmetic mean, in seconds.
    pub fn mean(&self) -> f64 {
        self.seconds.iter().sum::<f64>() / self.runs() as f64
    }

    /// The standard deviation of the runs, in seconds (divided by the number of runs, as IPython does).
    pub fn std_dev(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.seconds.iter().map(|s| (s - mean).powi(2)).sum();
        (squares / self.runs() as f64).sqrt()
    }

    /// The fastest run, in seconds for one call.
    pub fn min(&self) -> f64 {
        self.seconds[0]
    }

    /// The run in the middle, in seconds for one call.
    pub fn median(&self) -> f64 {
        let middle = self.runs() / 2;
        if self.runs() % 2 == 1 {
            self.seconds[middle]
        } else {
            (self.seconds[middle - 1] + self.seconds[middle]) / 2.0
        }
    }

    /// The slowest run, in seconds for one call.
    pub fn max(&self) -> f64 {
        self.seconds[self.runs() - 1]
    }

    /// How many runs there were.
    pub fn runs(&self) -> usize {
        self.seconds.len()
    }

    /// How many calls each run made.
    pub fn loops(&self) -> u64 {
        self.loops
    }

    /// Shows minimum, median and maximum when it is the last expression of a notebook cell:
    /// [`timeit!`](crate::timeit) has printed the mean before.
    pub fn evcxr_display(&self) {
        let text = format!(
            "min {}, median {}, max {}",
            format_seconds(self.min()),
            format_seconds(self.median()),
            format_seconds(self.max())
        );
        crate::show::as_result(&text);
    }
}

/// Prints the line that IPython's `%timeit` prints.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |n| if n == 1 { "" } else { "s" };
        write!(
            f,
            "{} ± {} per loop (mean ± std. dev. of {} run{}, {} loop{} each)",
            format_seconds(self.mean()),
            format_seconds(self.std_dev()),
            self.runs(),
            plural(self.runs() as u64),
            group_thousands(self.loops),
            plural(self.loops)
        )
    }
}

/// Writes a time with three significant digits and the unit that suits it, as IPython does:
/// `1min 3s`, `2.5 s`, `12.3 ms`, `45 µs`, `6.78 ns`.
pub(crate) fn format_seconds(seconds: f64) -> String {
    if seconds >= 60.0 {
        let whole = seconds as u64;
        let parts = [
            (whole / 86_400, "d"),
            (whole / 3_600 % 24, "h"),
            (whole / 60 % 60, "min"),
            (whole % 60, "s"),
        ];
        let shown: Vec<String> = parts
            .iter()
            .skip_while(|(n, _)| *n == 0)
            .map(|(n, unit)| format!("{n}{unit}"))
            .collect();
        return shown.join(" ");
    }
    let (scale, unit) = match seconds {
        s if s >= 1.0 => (1.0, "s"),
        s if s >= 1e-3 => (1e3, "ms"),
        s if s >= 1e-6 => (1e6, "µs"),
        _ => (1e9, "ns"),
    };
    format!("{} {unit}", three_digits(seconds * scale))
}

/// Three significant digits, without trailing zeros.
fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 || v == 0.0 => 2,
        v => (2 - v.log10().floor() as i32).clamp(0, 12) as usize,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// `1234567` as `1,234,567`.
fn group_thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_mean_median_and_spread() {
        let odd = Stats::new(vec![3.0, 1.0, 2.0], 1);
        assert_eq!((odd.min(), odd.median(), odd.max()), (1.0, 2.0, 3.0));
        assert_eq!(odd.mean(), 2.0);
        assert!((odd.std_dev() - (2.0f64 / 3.0).sqrt()).abs() < 1e-12);
        let even = Stats::new(vec![4.0, 1.0, 2.0, 3.0], 1);
        assert_eq!(even.median(), 2.5);
    }

    #[test]
    fn prints_as_timeit_does() {
        let stats = Stats::new(vec![1e-6; 7], 100_000);
        assert_eq!(
            stats.to_string(),
            "1 µs ± 0 ns per loop (mean ± std. dev. of 7 runs, 100,000 loops each)"
        );
        let one = Stats::new(vec![2.0], 1);
        assert!(one.to_string().ends_with("of 1 run, 1 loop each)"));
    }

    #[test]
    fn chooses_units_as_ipython_does() {
        for (seconds, text) in [
            (0.0, "0 ns"),
            (3.4e-10, "0.34 ns"),
            (1.5e-9, "1.5 ns"),
            (45e-6, "45 µs"),
            (0.0123456, "12.3 ms"),
            (0.1234, "123 ms"),
            (2.5, "2.5 s"),
            (20.014, "20 s"),
            (59.96, "60 s"),
            (63.0, "1min 3s"),
            (3600.0, "1h 0min 0s"),
            (90_061.0, "1d 1h 1min 1s"),
        ] {
            assert_eq!(format_seconds(seconds), text);
        }
    }

    #[test]
    fn groups_thousands() {
        assert_eq!(group_thousands(7), "7");
        assert_eq!(group_thousands(1_000_000), "1,000,000");
    }
}
