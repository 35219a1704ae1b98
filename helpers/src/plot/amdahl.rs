//! Amdahl's law: what a serial part does to the speedup.

/// Fits Amdahl's law to pairs of workers and speedup; gives the serial part, from 0 to 1.
///
/// The law says that a program of which the part `f` stays serial is
///
/// ```text
/// S(n) = 1 / (f + (1 − f) / n)
/// ```
///
/// times as fast with `n` workers. It goes back to Gene M. Amdahl, "Validity of the single
/// processor approach to achieving large scale computing capabilities", AFIPS Spring Joint
/// Computer Conference, 1967.
///
/// The fit is by least squares on the relative time `1 / S(n) = 1 / n + f · (1 − 1 / n)`, in which
/// `f` is linear; the time is also what was measured. An `f` outside of 0 to 1 is moved to the
/// nearer end.
///
/// Pairs with less than 2 workers say nothing about `f`, and a speedup that is not a number above
/// 0 cannot be used. Without any other pair the result is NaN.
///
/// # Examples
///
/// ```
/// use helpers::plot;
///
/// // A tenth of this program is serial: 1 / (0.1 + 0.9 / 2) and 1 / (0.1 + 0.9 / 4).
/// let serial_part = plot::fit_amdahl(&[(2, 1.818), (4, 3.077)]);
/// assert!((serial_part - 0.1).abs() < 0.001);
/// ```
#[must_use]
pub fn fit_amdahl(speedups: &[(usize, f64)]) -> f64 {
    // With a = 1 − 1/n and b = 1/S − 1/n, the law is b = f · a, and least squares give
    // f = Σ a·b / Σ a².
    let (mut ab, mut aa) = (0.0, 0.0);
    for &(workers, speedup) in speedups {
        if workers < 2 || !speedup.is_finite() || speedup <= 0.0 {
            continue;
        }
        let share = 1.0 / workers as f64;
        let a = 1.0 - share;
        ab += a * (1.0 / speedup - share);
        aa += a * a;
    }
    // 0 / 0 is NaN, and `clamp` keeps it.
    (ab / aa).clamp(0.0, 1.0)
}

/// Gives the speedup that Amdahl's law predicts.
pub(super) fn amdahl(serial_part: f64, workers: f64) -> f64 {
    1.0 / (serial_part + (1.0 - serial_part) / workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fit_finds_the_part_that_made_the_data() {
        for serial_part in [0.0, 0.01, 0.12, 0.5, 1.0] {
            let speedup = |n: usize| (n, amdahl(serial_part, n as f64));
            let exact: Vec<_> = [1, 2, 4, 8, 16].into_iter().map(speedup).collect();
            let fitted = fit_amdahl(&exact);
            assert!(
                (fitted - serial_part).abs() < 1e-12,
                "{fitted} for {serial_part}"
            );
        }
    }

    #[test]
    fn the_fit_has_the_least_squares() {
        let data = [(2, 1.9), (4, 3.1), (8, 4.2)];
        let error = |f: f64| -> f64 {
            let square = |&(n, s): &(usize, f64)| (1.0 / s - 1.0 / amdahl(f, n as f64)).powi(2);
            data.iter().map(square).sum()
        };
        let best = fit_amdahl(&data);
        assert!(
            error(best) < error(best + 1e-4) && error(best) < error(best - 1e-4),
            "{best}"
        );
    }

    #[test]
    fn the_fit_stays_between_0_and_1_and_skips_what_says_nothing() {
        assert_eq!(fit_amdahl(&[(2, 3.0), (4, 9.0)]), 0.0);
        assert_eq!(fit_amdahl(&[(2, 0.5), (4, 0.25)]), 1.0);
        assert!(fit_amdahl(&[]).is_nan());
        assert!(fit_amdahl(&[(0, 1.0), (1, 1.0), (4, f64::NAN), (4, 0.0)]).is_nan());
        let clean = fit_amdahl(&[(2, 1.5)]);
        assert_eq!(fit_amdahl(&[(1, 0.7), (2, 1.5), (4, f64::INFINITY)]), clean);
    }
}
