//! Numbers as text: short, and with as many digits as they are worth.

/// Writes `value` with 3 significant digits, such as `2.50`, `0.0123` or `1.20×10⁻⁷`.
///
/// Whole digits are never rounded away below 100 000: `12345.6` gives `12346`.
pub(super) fn short(value: f64) -> String {
    significant(value, 3)
}

/// Writes all of `values` with [`short`], or as whole numbers where each of them is one.
///
/// Counts look strange as `4.00`, and one `4` between `2.50` and `3.50` looks strange as well, so
/// the choice is made for all of them together.
pub(super) fn short_together(values: &[f64]) -> Vec<String> {
    let whole = values.iter().all(|v| v.fract() == 0.0 && v.abs() < 1e7);
    let write = |&v: &f64| if whole { format!("{v:.0}") } else { short(v) };
    values.iter().map(write).collect()
}

/// Writes `value` as [`short`] does, without zeros after the last digit that counts.
pub(super) fn plain(value: f64) -> String {
    let text = significant(value, 3);
    let (digits, power) = match text.split_once('×') {
        Some((digits, power)) => (digits, Some(power)),
        None => (text.as_str(), None),
    };
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    };
    match power {
        Some(power) => format!("{digits}×{power}"),
        None => digits.to_owned(),
    }
}

fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // Rust's own exponent form does the rounding: 999.6 has to become 1.00e3 before its size can
    // be judged.
    let rounded = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-3..5).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        return minus(format!("{value:.decimals$}"));
    }
    minus(format!("{mantissa}×10{}", superscript(exponent)))
}

/// Replaces the hyphen before a negative number by a minus sign, which is as wide as a digit.
pub(super) fn minus(number: String) -> String {
    match number.strip_prefix('-') {
        Some(rest) => format!("−{rest}"),
        None => number,
    }
}

/// Writes `10` with `exponent` raised, such as `10⁻³`.
pub(super) fn power_of_ten(exponent: i32) -> String {
    format!("10{}", superscript(exponent))
}

fn superscript(exponent: i32) -> String {
    let raise = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        '9' => '⁹',
        _ => '⁰',
    };
    exponent.to_string().chars().map(raise).collect()
}

/// Chooses a unit in which `largest` reads well; gives the factor to it and its name.
///
/// Only seconds are changed: other units have no smaller one that everybody knows.
pub(super) fn readable_unit(unit: &str, largest: f64) -> (f64, &str) {
    if unit != "s" || largest <= 0.0 || largest >= 1.0 {
        return (1.0, unit);
    }
    if largest >= 1e-3 {
        (1e3, "ms")
    } else if largest >= 1e-6 {
        (1e6, "µs")
    } else {
        (1e9, "ns")
    }
}

/// Writes `text` with `unit` after it; a unit of `""` adds nothing.
pub(super) fn with_unit(text: &str, unit: &str) -> String {
    if unit.is_empty() {
        return text.to_owned();
    }
    format!("{text} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (7.0, "7.00"),
            (2.5, "2.50"),
            (0.012345, "0.0123"),
            (999.6, "1000"),
            (99.96, "100"),
            (12345.6, "12346"),
            (1e5, "1.00×10⁵"),
            (1.234e-7, "1.23×10⁻⁷"),
            (0.001, "0.00100"),
            (-2.5, "−2.50"),
            (1e150, "1.00×10¹⁵⁰"),
            (5e-324, "4.94×10⁻³²⁴"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn plain_has_no_trailing_zeros() {
        for (value, text) in [
            (7.0, "7"),
            (2.5, "2.5"),
            (1000.0, "1000"),
            (1e8, "1×10⁸"),
            (0.0, "0"),
            (0.001, "0.001"),
        ] {
            assert_eq!(plain(value), text);
        }
    }

    #[test]
    fn whole_numbers_stay_whole_together_only() {
        assert_eq!(short_together(&[4.0, 1048576.0]), ["4", "1048576"]);
        assert_eq!(short_together(&[4.0, 2.5]), ["4.00", "2.50"]);
    }

    #[test]
    fn small_seconds_get_a_smaller_unit() {
        assert_eq!(readable_unit("s", 7.0), (1.0, "s"));
        assert_eq!(readable_unit("s", 0.25), (1e3, "ms"));
        assert_eq!(readable_unit("s", 2e-5), (1e6, "µs"));
        assert_eq!(readable_unit("s", 2e-8), (1e9, "ns"));
        assert_eq!(readable_unit("s", 0.0), (1.0, "s"));
        assert_eq!(readable_unit("MB", 0.25), (1.0, "MB"));
    }

    #[test]
    fn a_unit_stands_apart_from_its_number() {
        assert_eq!(with_unit("2", "s"), "2 s");
        assert_eq!(with_unit("2", ""), "2");
    }
}
