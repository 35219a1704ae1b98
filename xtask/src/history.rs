//! What checks have cost in the last runs, and which of them cost more by half now.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Result;

/// How many runs are kept.
const KEPT: usize = 10;

/// A check that costs so many times what it usually does has grown …
const GROWN: f64 = 1.5;

/// … if that is not a trifle: so many seconds, or kernels.
const TRIFLE: f64 = 5.0;
const FEW_KERNELS: f64 = 2.0;

/// What is kept of a check in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub name: String,
    /// Only costs of checks that passed say what they usually are.
    pub passed: bool,
    pub wall: f64,
    pub processor: Option<f64>,
    pub kernels: u64,
}

/// What an entry is compared by: its name, its unit, and what is too little to tell of.
type Measure = (&'static str, &'static str, f64, fn(&Entry) -> Option<f64>);

const MEASURES: &[Measure] = &[
    ("wall time", "s", TRIFLE, |entry| Some(entry.wall)),
    ("processor time", "s", TRIFLE, |entry| entry.processor),
    ("kernels", "", FEW_KERNELS, |entry| {
        Some(entry.kernels as f64)
    }),
];

/// Adds a run to those in the file, and says which checks have grown.
pub fn add(file: &Path, run: &[Entry]) -> Result<Vec<String>> {
    let mut runs = read(file);
    let told = grown(&runs, run);
    runs.push(run.to_vec());
    let kept = &runs[runs.len().saturating_sub(KEPT)..];
    let text =
        serde_json::to_string_pretty(&kept.iter().map(|run| to_json(run)).collect::<Vec<_>>())?;
    fs::write(file, text + "\n")
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok(told)
}

/// The runs in the file; none if it is not there, or is not what was written.
fn read(file: &Path) -> Vec<Vec<Entry>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let found: Value = serde_json::from_str(&text).unwrap_or_default();
    let runs = found.as_array().map_or(&[][..], Vec::as_slice);
    runs.iter().map(from_json).collect()
}

fn to_json(run: &[Entry]) -> Value {
    let entries = run.iter().map(|entry| {
        json!({
            "check": entry.name,
            "passed": entry.passed,
            "wall": round(entry.wall),
            "processor": entry.processor.map(round),
            "kernels": entry.kernels,
        })
    });
    entries.collect()
}

fn from_json(run: &Value) -> Vec<Entry> {
    let entries = run.as_array().map_or(&[][..], Vec::as_slice);
    let entry = |entry: &Value| {
        Some(Entry {
            name: entry["check"].as_str()?.to_owned(),
            passed: entry["passed"].as_bool()?,
            wall: entry["wall"].as_f64()?,
            processor: entry["processor"].as_f64(),
            kernels: entry["kernels"].as_u64()?,
        })
    };
    entries.iter().filter_map(entry).collect()
}

fn round(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

/// One line for each check that costs at least half as much again as the median of what it did.
fn grown(before: &[Vec<Entry>], now: &[Entry]) -> Vec<String> {
    let mut told = Vec::new();
    for entry in now.iter().filter(|entry| entry.passed) {
        let earlier: Vec<_> = before
            .iter()
            .flatten()
            .filter(|other| other.passed && other.name == entry.name)
            .collect();
        for &(what, unit, trifle, measure) in MEASURES {
            let of_earlier = earlier.iter().filter_map(|other| measure(other)).collect();
            let (Some(now), Some(usual)) = (measure(entry), median(of_earlier)) else {
                continue;
            };
            if now >= GROWN * usual && now >= usual + trifle {
                let name = &entry.name;
                let runs = earlier.len();
                told.push(format!(
                    "`{name}` has grown by half or more: {what} {now:.0}{unit}; before ({runs} \
                     runs) the median was {usual:.0}{unit}",
                ));
            }
        }
    }
    told
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, wall: f64, processor: f64, kernels: u64) -> Entry {
        Entry {
            name: name.to_owned(),
            passed: true,
            wall,
            processor: Some(processor),
            kernels,
        }
    }

    #[test]
    fn a_check_that_grows_by_half_is_told_of() {
        let before = vec![vec![entry("slow", 20.0, 30.0, 4), entry("quick", 0.5, 0.5, 0)]; 3];
        let same = [entry("slow", 29.0, 44.0, 5), entry("quick", 5.0, 0.5, 1)];
        assert_eq!(grown(&before, &same), [""; 0]);
        let told = grown(
            &before,
            &[entry("slow", 31.0, 30.0, 6), entry("new", 99.0, 9.0, 9)],
        );
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].contains("`slow`") && told[0].contains("wall time 31s"),
            "{told:?}"
        );
        assert!(
            told[1].contains("kernels 6") && told[1].contains("was 4"),
            "{told:?}"
        );
    }

    #[test]
    fn runs_that_failed_are_no_measure() {
        let mut failed = entry("slow", 1.0, 1.0, 0);
        failed.passed = false;
        assert_eq!(
            grown(&[vec![failed]], &[entry("slow", 60.0, 60.0, 9)]),
            [""; 0]
        );
    }

    #[test]
    fn the_last_runs_are_kept() {
        let file = std::env::temp_dir().join(format!("course-history-{}", std::process::id()));
        fs::write(&file, "torn").unwrap();
        for wall in 0..12 {
            add(&file, &[entry("slow", f64::from(wall), 1.0, 1)]).unwrap();
        }
        let runs = read(&file);
        fs::remove_file(file).unwrap();
        let walls: Vec<_> = runs.iter().map(|run| run[0].wall).collect();
        assert_eq!(walls, (2..12).map(f64::from).collect::<Vec<_>>());
        assert_eq!(runs[0], [entry("slow", 2.0, 1.0, 1)]);
    }
}
